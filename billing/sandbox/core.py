"""The sandbox itself: store, clock, webhooks and chaos in one place that every resource is handed."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from billing.sandbox import skeletons
from billing.sandbox.chaos import Chaos
from billing.sandbox.clock import Clock
from billing.sandbox.errors import StripeError, missing
from billing.sandbox.ids import new_id
from billing.sandbox.render import public
from billing.sandbox.state import Obj, Store
from billing.sandbox.webhooks import RETRY_SECONDS, Deliverer, event_body

log = logging.getLogger("billing.sandbox")

API_VERSION = "2026-10-28.endive"
PLATFORM = "platform"
TICK_SECONDS = 1.0


class Sandbox:
    """One Stripe account in test mode."""

    def __init__(
        self,
        *,
        secret: str,
        state: Path | None = None,
        chaos: Chaos | None = None,
        retry_seconds: tuple[float, ...] = RETRY_SECONDS,
        base_url: str = "",
    ) -> None:
        """`state`: directory of the SQLite file (None: memory only). `secret`: the sk_test_ key that is accepted."""
        if not secret.startswith("sk_test_"):
            raise ValueError("the sandbox takes a test key only: it must start with sk_test_")
        self.secret = secret
        self.base_url = base_url
        self.store = Store(state)
        self.clock = Clock(self.store)
        self.webhooks = Deliverer(self.store, chaos or Chaos(), retry_seconds)
        self.calls = 0
        self.acting_account: str | None = None  # `Stripe-Account` of the request being served
        self._stop = threading.Event()
        self._ticker = threading.Thread(target=self._tick_forever, name="sandbox-clock", daemon=True)

    @property
    def lock(self) -> threading.RLock:
        return self.store.lock

    def start(self) -> None:
        """Start delivering webhooks and doing what falls due on the sandbox's clock."""
        self.webhooks.start()
        self._ticker.start()

    def stop(self) -> None:
        """Stop the threads and save everything."""
        self._stop.set()
        self._ticker.join(timeout=5)
        self.webhooks.stop()
        self.store.close()

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """One request, under the lock: refused means that nothing changed.

        Except by a card (402): the failed charge and its events are facts, and stay.
        """
        with self.lock:
            self.store.begin()
            try:
                yield
            except BaseException as error:
                if isinstance(error, StripeError) and error.status == 402:
                    self.store.commit()
                else:
                    self.store.rollback()
                raise
            self.store.commit()

    # Objects

    def new(self, kind: str, created: int | None = None, **values: Any) -> Obj:
        """An object of this kind from its skeleton, with an id; not stored yet."""
        obj = skeletons.make(kind)
        obj["id"] = new_id(kind)
        if "created" in obj:
            obj["created"] = self.clock.now() if created is None else created
        obj.update(values)
        return obj

    def save(self, obj: Obj) -> Obj:
        return self.store.put(obj["object"], obj)

    def find(self, kind: str, ident: str, param: str | None = None) -> Obj:
        """The object, or Stripe's `resource_missing`: 404 by path, 400 when the id came in parameter `param`."""
        obj = self.store.get(kind, ident)
        if obj is None or obj.get("_deleted"):
            error = missing(kind.rpartition(".")[2], ident, param or "id")
            error.status = 400 if param else 404
            raise error
        return obj

    # Events

    def emit(self, type_: str, obj: Obj, previous: dict[str, Any] | None = None, created: int | None = None) -> Obj:
        """Record an event with a snapshot of the object as it is now, and queue it for the endpoints."""
        snapshot: dict[str, Any] = {"object": public(obj)}
        if previous is not None:
            snapshot["previous_attributes"] = previous
        meta = self.store.get("_meta", "events") or {"id": "events", "number": 0}
        meta["number"] += 1
        self.store.put("_meta", meta)
        event = self.new("event", created=self.now_of(obj) if created is None else created)
        event |= {"type": type_, "_number": meta["number"], "_object": obj["id"], "api_version": API_VERSION}
        event["pending_webhooks"] = self.store.count("webhook_endpoint")
        event.pop("data")
        event["_body"] = event_body(event, snapshot)
        self.save(event)
        self.webhooks.enqueue(event)
        return event

    def now_of(self, obj: Obj) -> int:
        """The time that an object lives in: its customer's clock, its own, or the sandbox's."""
        if obj.get("test_clock"):
            return self.clock.now(obj["test_clock"])
        customer = obj["id"] if obj["object"] == "customer" else obj.get("customer")
        return self.clock.customer_now(customer)

    # Time

    def run_due(self, clock_id: str | None, until: int, before_each: Callable[[Obj], None] | None = None) -> int:
        """Do what is due on a clock up to `until`, in order; how many things. Lets requests in between any two."""
        done = 0
        while True:
            with self.lock:
                entry = self.clock.next_due(clock_id, until)
            if entry is None:
                return done
            if before_each is not None:
                before_each(entry)
            with self.attempt():
                self.clock.run_entry(self, entry)
            done += 1

    def set_now(self, now: int, before_each: Callable[[Obj], None] | None = None) -> int:
        """Move the sandbox's clock and do what that makes due; how many things were done."""
        with self.lock:
            self.clock.set_now(now)
        return self.run_due(None, now, before_each)

    def _tick_forever(self) -> None:
        while not self._stop.wait(TICK_SECONDS):
            try:
                self.run_due(None, int(time.time()) + self.clock.offset)
            except Exception:
                log.exception("something that was due failed; the rest goes on")

    def reset(self) -> None:
        """Forget every object, event and pending delivery; the clock is real time again.

        Endpoints named on the command line stay, for nobody would set them up again.
        """
        with self.lock:
            pinned = [row for row in self.store.all("webhook_endpoint") if row.get("_pinned")]
            self.webhooks.clear()
            self.store.clear()
            self.clock.restart()
            for endpoint in pinned:
                self.save(endpoint)


def plain_number(value: Any) -> Any:
    """A Decimal as JSON would carry it: an int when whole, else a float (percentages only; money is never here)."""
    return int(value) if value == int(value) else float(value)


__all__ = ["API_VERSION", "PLATFORM", "Sandbox", "StripeError", "plain_number"]
