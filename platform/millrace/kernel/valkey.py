"""Connections to Valkey (or Redis): one pool a process."""

from functools import cache

import redis
import redis.asyncio
from django.conf import settings

# Longer than the longest blocking read, the serving process's half second.
_ANSWER_SECONDS = 5


@cache
def client() -> redis.Redis:
    """The process's client; answers are bytes. No caller waits for ever for a server that fell silent."""
    return redis.Redis.from_url(
        settings.VALKEY_URL, health_check_interval=30, socket_connect_timeout=5, socket_timeout=_ANSWER_SECONDS
    )


def async_client() -> redis.asyncio.Redis:
    """A new asynchronous client: it belongs to the event loop that uses it, which closes it."""
    return redis.asyncio.Redis.from_url(settings.VALKEY_URL, health_check_interval=30)
