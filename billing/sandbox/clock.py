"""What time it is for whom, and what is due when.

A customer bound to a test clock lives on that clock. Everybody else lives on the sandbox's clock: real time plus an
offset that `POST /_sandbox/clock` sets. Work that is due (a renewal, a finalisation, a retry) is an entry in a heap
per clock, so moving time costs what is due, not what exists.
"""

import heapq
import time
from collections.abc import Callable
from typing import Any

from billing.sandbox.errors import refused
from billing.sandbox.state import Obj, Store

Action = Callable[[Any, Obj], None]

ACTIONS: dict[str, Action] = {}


def action(name: str) -> Callable[[Action], Action]:
    """Registers what to do when an entry of this name is due."""

    def register(function: Action) -> Action:
        ACTIONS[name] = function
        return function

    return register


class Clock:
    """Time and the schedule. Entries live in the store, so that they survive a restart."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._heaps: dict[str, list[tuple[int, int, str]]] = {}
        self._number = 0
        self._stamp: int | None = None  # while due work runs on the sandbox's clock: the moment it was due
        self.restart()

    def restart(self) -> None:
        """Read the schedule back from the store."""
        self._heaps.clear()
        self._number = 0
        for entry in self.store.all("_due"):
            self._push(entry)

    @property
    def offset(self) -> int:
        meta = self.store.get("_meta", "clock")
        return meta["offset"] if meta else 0

    def set_now(self, now: int) -> None:
        """Make the sandbox's clock read `now`; it runs on from there in real time."""
        self.store.put("_meta", {"id": "clock", "offset": now - int(time.time())})

    def clear_offset(self) -> None:
        """Back to real time."""
        self.store.remove("_meta", "clock")

    def now(self, clock_id: str | None = None) -> int:
        """Epoch seconds on a test clock, or on the sandbox's clock."""
        if clock_id:
            clock = self.store.get("test_helpers.test_clock", clock_id)
            if clock is not None:
                return clock["frozen_time"]
        return self._stamp if self._stamp is not None else int(time.time()) + self.offset

    def customer_now(self, customer_id: str | None) -> int:
        """The time a customer lives in; the sandbox's clock for none."""
        customer = self.store.get("customer", customer_id) if customer_id else None
        return self.now(customer.get("test_clock") if customer else None)

    def schedule(self, clock_id: str | None, moment: int, name: str, target: str) -> None:
        """Have the action `name` done for object `target` at `moment`. Actions check that they still apply."""
        self._number += 1
        entry: Obj = {"id": f"due_{target}_{name}_{moment}", "clock": clock_id or "", "at": moment, "action": name}
        entry["target"] = target
        if self.store.get("_due", entry["id"]) is None:
            self.store.put("_due", entry)
            self._push(entry)

    def next_due(self, clock_id: str | None, until: int) -> Obj | None:
        """Take the earliest entry due at or before `until`, or None."""
        heap = self._heaps.get(clock_id or "", [])
        while heap and heap[0][0] <= until:
            _, _, ident = heapq.heappop(heap)
            entry = self.store.get("_due", ident)
            if entry is not None:
                self.store.remove("_due", ident)
                return entry
        return None

    def run_entry(self, sandbox: Any, entry: Obj) -> None:
        """Do one due thing at the moment it was due."""
        clock = self.store.get("test_helpers.test_clock", entry["clock"]) if entry["clock"] else None
        if entry["clock"] and clock is None:
            return
        if clock is not None:
            clock["frozen_time"] = max(clock["frozen_time"], entry["at"])
            self.store.put("test_helpers.test_clock", clock)
        else:
            self._stamp = entry["at"]
        try:
            ACTIONS[entry["action"]](sandbox, entry)
        finally:
            self._stamp = None

    def pending(self) -> int:
        return self.store.count("_due")

    def _push(self, entry: Obj) -> None:
        self._number += 1
        heapq.heappush(self._heaps.setdefault(entry["clock"], []), (entry["at"], self._number, entry["id"]))


def future(moment: int, now: int, param: str) -> int:
    """`moment`, refused unless it lies ahead."""
    if moment <= now:
        raise refused(f"Invalid timestamp: {param} must be in the future.", "parameter_invalid", param)
    return moment
