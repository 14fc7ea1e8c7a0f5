"""Assume that every operation runs at the same time as itself."""

from collections.abc import Callable
from threading import Barrier, Thread
from typing import Any

from django.db import connections

_TOGETHER_SECONDS = 20


def in_threads(count: int, work: Callable[[int], Any]) -> list[Any]:
    """Run `work(0)` to `work(count - 1)` in threads that start together; their answers in no order, failures as
    exceptions. The test needs `real_db`: a thread sees what is committed."""
    barrier, results = Barrier(count), []

    def run(number: int) -> None:
        try:
            barrier.wait(timeout=_TOGETHER_SECONDS)
            results.append(work(number))
        except Exception as error:  # noqa: BLE001 - the test looks at what came out
            results.append(error)
        finally:
            connections.close_all()

    threads = [Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results
