"""Connections to Valkey (or Redis): one pool a process."""

from functools import cache

import redis
import redis.asyncio
from django.conf import settings


@cache
def client() -> redis.Redis:
    """The process's client; answers are bytes."""
    return redis.Redis.from_url(settings.VALKEY_URL, health_check_interval=30)


def async_client() -> redis.asyncio.Redis:
    """A new asynchronous client: it belongs to the event loop that uses it, which closes it."""
    return redis.asyncio.Redis.from_url(settings.VALKEY_URL, health_check_interval=30)
