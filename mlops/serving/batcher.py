"""Gather requests into micro-batches without making anyone wait for company that does not come. No torch, no clock.

All times are the boot clock's, in nanoseconds, and are handed in.
"""

from __future__ import annotations

import itertools
from collections import OrderedDict, deque
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

Item = TypeVar("Item")
_NANOSECONDS = 1_000_000


@dataclass(frozen=True)
class _Waiting(Generic[Item]):
    item: Item
    size: int
    arrived_ns: int


@dataclass(frozen=True)
class MicroBatch(Generic[Item]):
    """Requests of one key (a model version) to compute together."""

    key: Hashable
    items: tuple[Item, ...]
    size: int
    oldest_arrived_ns: int


class MicroBatcher(Generic[Item]):
    """Requests wait in their key's line. A batch is ready at once when the engine was idle, when `max_batch` inputs
    wait, or when the oldest has waited `max_wait_ms`: so no request waits longer than that for company, and a lone one
    does not wait at all (J13). Not thread-safe: one owner.
    """

    def __init__(self, *, max_batch: int, max_wait_ms: float) -> None:
        if max_batch < 1 or max_wait_ms < 0:
            raise ValueError("max_batch is 1 or more and max_wait_ms 0 or more")
        self._max_batch = max_batch
        self._max_wait_ns = int(max_wait_ms * _NANOSECONDS)
        self._lines: OrderedDict[Hashable, deque[_Waiting[Item]]] = OrderedDict()
        self._idle = True

    def __len__(self) -> int:
        """Requests that wait."""
        return sum(len(line) for line in self._lines.values())

    def add(self, key: Hashable, item: Item, *, size: int, now_ns: int) -> None:
        """Queue a request of `size` inputs."""
        self._lines.setdefault(key, deque()).append(_Waiting(item, size, now_ns))

    def take(self, now_ns: int) -> MicroBatch[Item] | None:
        """The next batch, or None when there is none yet; see `wait_ns` for when to ask again.

        Keys take turns, in the order of their first requests, so that a long line does not keep the others waiting. A
        request larger than `max_batch` goes alone and whole.
        """
        if not self._lines:
            self._idle = True
            return None
        due = (name for name, line in self._lines.items() if self._idle or self._is_due(line, now_ns))
        full = (name for name, line in self._lines.items() if self._size(line) >= self._max_batch)
        key = next(itertools.chain(due, full), None)
        if key is None:
            return None
        self._idle = False
        return self._pop(key)

    def _is_due(self, line: deque[_Waiting[Item]], now_ns: int) -> bool:
        return now_ns - line[0].arrived_ns >= self._max_wait_ns

    def wait_ns(self, now_ns: int) -> int | None:
        """How long until `take` gives a batch though nothing new comes; None when nothing waits."""
        if not self._lines:
            return None
        if self._idle or any(self._size(line) >= self._max_batch for line in self._lines.values()):
            return 0
        oldest = min(line[0].arrived_ns for line in self._lines.values())
        return max(0, oldest + self._max_wait_ns - now_ns)

    def _pop(self, key: Hashable) -> MicroBatch[Item]:
        line = self._lines[key]
        taken = [line.popleft()]
        size = taken[0].size
        while line and size + line[0].size <= self._max_batch:
            size += line[0].size
            taken.append(line.popleft())
        if line:
            self._lines.move_to_end(key)
        else:
            del self._lines[key]
        return MicroBatch(key, tuple(waiting.item for waiting in taken), size, taken[0].arrived_ns)

    @staticmethod
    def _size(line: deque[_Waiting[Item]]) -> int:
        return sum(waiting.size for waiting in line)
