"""Connections to Valkey (or Redis): one pool a process."""

import socket
from functools import cache
from typing import Any

import redis
import redis.asyncio
from django.conf import settings

# Longer than the longest blocking read, the serving process's half second.
_ANSWER_SECONDS = 5
# A listener may hear nothing for hours and all is well, so it has no time limit: the kernel asks whether the other side
# still lives, and ends a connection whose other side has been gone for some twenty seconds.
_KEEPALIVE = {socket.TCP_KEEPIDLE: 10, socket.TCP_KEEPINTVL: 3, socket.TCP_KEEPCNT: 3}


@cache
def client() -> redis.Redis:
    """The process's client; answers are bytes. No caller waits for ever for a server that fell silent."""
    return redis.Redis.from_url(settings.VALKEY_URL, socket_timeout=_ANSWER_SECONDS, **_connecting())


def async_client() -> redis.asyncio.Redis:
    """A new asynchronous client: it belongs to the event loop that uses it, which closes it."""
    return redis.asyncio.Redis.from_url(settings.VALKEY_URL, **_connecting())


def _connecting() -> dict[str, Any]:
    options: dict[str, Any] = {"health_check_interval": 30, "socket_connect_timeout": 5}
    if not settings.VALKEY_URL.startswith("unix:"):
        options |= {"socket_keepalive": True, "socket_keepalive_options": _KEEPALIVE}
    return options
