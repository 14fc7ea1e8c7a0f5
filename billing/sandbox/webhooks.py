"""Signed webhook deliveries: a queue, a few threads, retries with backoff, and faults on demand.

A delivery is a row of the store until the endpoint has answered 2xx, so one that is under way when the process dies
is sent again after the restart: at least once, as on Stripe. Nothing promises an order.
"""

import hashlib
import heapq
import hmac
import threading
import time
from collections import deque
from typing import Any

import msgspec
import urllib3

from billing.sandbox.chaos import Chaos
from billing.sandbox.ids import token
from billing.sandbox.state import Obj, Store

RETRY_SECONDS = (0.5, 1.0, 2.0, 5.0, 15.0, 60.0)
GIVE_UP_SECONDS = 3 * 86_400  # as on Stripe: three days
WORKERS = 4
TIMEOUT_SECONDS = 15.0


def signature(secret: str, payload: bytes, timestamp: int) -> str:
    """The `Stripe-Signature` header: HMAC-SHA256 of "timestamp.payload" under the endpoint's secret."""
    digest = hmac.new(secret.encode(), f"{timestamp}.".encode() + payload, hashlib.sha256).hexdigest()
    return f"t={timestamp},v1={digest}"


class Deliverer:
    """Sends events to the endpoints that asked for them."""

    def __init__(self, store: Store, chaos: Chaos, retry_seconds: tuple[float, ...] = RETRY_SECONDS) -> None:
        self.store = store
        self.chaos = chaos
        self.retry_seconds = retry_seconds
        self.sent = 0
        self.failed_attempts = 0
        self.recent: deque[Obj] = deque(maxlen=500)
        self._heap: list[tuple[float, int, str]] = []
        self._wake = threading.Condition()
        self._busy = 0
        self._flushing = 0
        self._stopping = False
        self._pool = urllib3.PoolManager(maxsize=WORKERS, num_pools=16, retries=False)
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Take up the deliveries left by an earlier run and start the threads."""
        for row in self.store.all("_delivery"):
            self._push(row, 0.0)
        for number in range(WORKERS):
            thread = threading.Thread(target=self._work, name=f"sandbox-webhook-{number}", daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        """Let running deliveries finish; waiting ones stay in the store."""
        with self._wake:
            self._stopping = True
            self._wake.notify_all()
        for thread in self._threads:
            thread.join(timeout=TIMEOUT_SECONDS)

    def enqueue(self, event: Obj) -> int:
        """Queue an event for each endpoint that wants it; how many deliveries. Call under the store's lock."""
        made = 0
        for endpoint in self.store.all("webhook_endpoint"):
            if endpoint["status"] != "enabled" or not _wants(endpoint, event["type"]):
                continue
            about = f"{event['_number']}:{endpoint['url']}"
            copies = 2 if self.chaos.strikes("double", about) else 1
            for copy in range(copies):
                made += 1
                self._add(event, endpoint, f"{about}:{copy}")
        return made

    def _add(self, event: Obj, endpoint: Obj, about: str) -> None:
        position = event["_number"] * 2
        wait = 0.0
        if self.chaos.strikes("reorder", about):
            overtakers = 1 + int(self.chaos.draw("window", about) * self.chaos.reorder_window)
            position += 2 * overtakers + 1
            wait = 0.02 * overtakers
        if self.chaos.strikes("delay", about):
            wait += self.chaos.draw("wait", about) * self.chaos.delay_seconds
        row = {"id": f"whd_{token(16)}", "event": event["id"], "endpoint": endpoint["id"], "attempts": 0}
        row |= {"position": position, "about": about, "tried": False, "since": time.time()}
        self.store.put("_delivery", row)
        self._push(row, wait)

    def pending(self) -> int:
        """Deliveries not yet acknowledged nor given up."""
        return self.store.count("_delivery")

    def event_is_pending(self, event_id: str) -> bool:
        """Whether a delivery of this event still waits for a 2xx. Call under the store's lock."""
        return bool(self.store.by("_delivery", "event", event_id))

    def event_is_untried(self, event_id: str) -> bool:
        """Whether some endpoint has not even been asked yet. Call under the store's lock."""
        return any(not row["tried"] for row in self.store.by("_delivery", "event", event_id))

    def flush(self, timeout: float = 60.0) -> int:
        """Deliver everything now, waits and backoffs ignored; what is still pending at the timeout (0: all done)."""
        deadline = time.monotonic() + timeout
        with self._wake:
            self._flushing += 1
            self._hurry()
            self._wake.notify_all()
            try:
                while (self._heap or self._busy) and time.monotonic() < deadline:
                    self._wake.wait(0.25)
            finally:
                self._flushing -= 1
        return self.pending()

    def clear(self) -> None:
        """Drop what is queued."""
        with self._wake:
            self._heap.clear()

    def _hurry(self) -> None:
        """Make all that waits due now, in order of position (which chaos may have moved)."""
        self._heap = [(0.0, position, ident) for _, position, ident in self._heap]
        heapq.heapify(self._heap)

    def _push(self, row: Obj, wait: float) -> None:
        with self._wake:
            due = time.monotonic() + (min(wait, 0.05) if self._flushing else wait)
            heapq.heappush(self._heap, (due, row["position"], row["id"]))
            self._wake.notify()

    def _work(self) -> None:
        while True:
            with self._wake:
                while not self._stopping and (not self._heap or self._heap[0][0] > time.monotonic()):
                    pause = self._heap[0][0] - time.monotonic() if self._heap else None
                    self._wake.wait(pause)
                if self._stopping:
                    return
                _, _, ident = heapq.heappop(self._heap)
                self._busy += 1
            try:
                self._deliver(ident)
            finally:
                with self._wake:
                    self._busy -= 1
                    self._wake.notify_all()

    def _deliver(self, ident: str) -> None:
        with self.store.lock:
            row = self.store.get("_delivery", ident)
            event = self.store.get("event", row["event"]) if row else None
            endpoint = self.store.get("webhook_endpoint", row["endpoint"]) if row else None
            if row is None or event is None or endpoint is None:
                self.store.remove("_delivery", ident)
                return
            row["attempts"] += 1
            about = f"{row['about']}:{row['attempts']}"
        self.store.save()  # the endpoint never knows more than the state file
        status, note = self._attempt(endpoint, event, about)
        with self.store.lock:
            done = 200 <= status < 300
            self.recent.append(
                {"event": event["id"], "type": event["type"], "url": endpoint["url"], "attempt": row["attempts"]}
                | {"status": status, "note": note}
            )
            row["tried"] = True
            too_old = time.time() - row["since"] > GIVE_UP_SECONDS
            if done or too_old or self.store.get("_delivery", ident) is None:
                self.sent += done
                self.store.remove("_delivery", ident)
                return
            self.failed_attempts += 1
            self.store.put("_delivery", row)
        backoff = self.retry_seconds[min(row["attempts"], len(self.retry_seconds)) - 1]
        self._push(row, backoff)

    def _attempt(self, endpoint: Obj, event: Obj, about: str) -> tuple[int, str]:
        """One HTTP request: its status (0: no answer) and a note. Chaos may eat the request or the answer."""
        struck = self.chaos.strikes("fail", about)
        if struck and self.chaos.draw("eaten", about) < 0.5:
            return 0, "chaos: not sent"
        payload = event["_body"].encode()
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
            "Stripe-Signature": signature(endpoint["_secret"], payload, int(time.time())),
        }
        try:
            answer = self._pool.request(
                "POST", endpoint["url"], body=payload, headers=headers, timeout=TIMEOUT_SECONDS, redirect=False
            )
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            return 0, f"{type(error).__name__}: {error}"
        return (0, "chaos: answer lost") if struck else (answer.status, "")


def _wants(endpoint: Obj, event_type: str) -> bool:
    return "*" in endpoint["enabled_events"] or event_type in endpoint["enabled_events"]


def event_body(event: Obj, snapshot: dict[str, Any]) -> str:
    """The JSON that is signed and sent; made once, as the object was when the event happened."""
    public = {key: value for key, value in event.items() if not key.startswith("_")}
    return msgspec.json.encode(public | {"data": snapshot}).decode()
