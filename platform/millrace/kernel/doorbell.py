"""Doorbells: Celery messages that say only "look". Rung a hundred times before somebody looks, one is one message."""

import functools
from collections.abc import Callable
from typing import Any

from celery import Task, shared_task

from millrace.kernel import valkey

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
            valkey.client().delete(_key(name))
            return look()

        return answer

    return register


def ring(task: Task) -> None:
    """Have the task run soon. Call it after the commit that gives it something to find."""
    if valkey.client().set(_key(task.name), 1, nx=True, ex=_LOST_AFTER_SECONDS):
        task.apply_async(expires=_EXPIRES_SECONDS)


def _key(name: str) -> str:
    return f"doorbell:{name}"
