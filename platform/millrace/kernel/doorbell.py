"""Doorbells: Celery messages that say only "look". Rung a hundred times before somebody looks, one is one message."""

import functools
import logging
from collections.abc import Callable
from typing import Any

import redis
from celery import Task, shared_task

from millrace.kernel import valkey

logger = logging.getLogger(__name__)
# A message that got lost is rung again after this long at the latest; beat rings, too.
_LOST_AFTER_SECONDS = 5
_EXPIRES_SECONDS = 60


def answers(name: str) -> Callable[[Callable[[], Any]], Task]:
    """Decorator: the function that looks for work and does it, as the Celery task `name` that `ring` rings for."""

    def register(look: Callable[[], Any]) -> Task:
        @shared_task(name=name)
        @functools.wraps(look)
        def answer() -> Any:
            # Before looking: whoever commits from here on rings anew, and whoever rang before is seen.
            try:
                valkey.client().delete(_key(name))
            except redis.RedisError as gone:  # it falls silent by itself, and the work is in the database
                logger.warning("the bell %s cannot be taken off: %s", name, gone)
            return look()

        return answer

    return register


def ring(task: Task) -> None:
    """Have the task run soon. Call it after the commit that gives it something to find."""
    if valkey.client().set(_key(task.name), 1, nx=True, ex=_LOST_AFTER_SECONDS):
        task.apply_async(expires=_EXPIRES_SECONDS)


def _key(name: str) -> str:
    return f"doorbell:{name}"
