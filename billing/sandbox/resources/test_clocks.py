"""Test clocks: a time of their own for the customers bound to them."""

import logging
import threading
import time
from collections.abc import Callable

from billing.sandbox.api import call
from billing.sandbox.core import Sandbox
from billing.sandbox.errors import refused
from billing.sandbox.periods import boundary_after
from billing.sandbox.resources.common import simple_reads
from billing.sandbox.resources.subscription_items import interval_of
from billing.sandbox.resources.subscription_state import ENDED
from billing.sandbox.state import Obj

simple_reads("test_helpers.test_clock", "test_helpers/test_clocks", "test_helpers.TestClock")

log = logging.getLogger("billing.sandbox")

_KEPT_SECONDS = 30 * 86_400
# How long moving time waits, in real time and altogether, for the endpoints to hear of the drafts made on the way.
_ENDPOINTS_SECONDS = 30.0


@call("POST", "test_helpers/test_clocks", "test_helpers.TestClockCreateParams")
def test_clock_create(sandbox: Sandbox, params: Obj) -> Obj:
    clock = sandbox.new("test_helpers.test_clock", frozen_time=params["frozen_time"], name=params.get("name"))
    clock["deletes_after"] = clock["created"] + _KEPT_SECONDS
    sandbox.save(clock)
    sandbox.emit("test_helpers.test_clock.created", clock)
    return clock


@call("POST", "test_helpers/test_clocks/{id}/advance", "test_helpers.TestClockAdvanceParams")
def test_clock_advance(sandbox: Sandbox, params: Obj, ident: str) -> Obj:
    """Starts moving; the answer says `advancing`, and the clock is `ready` once all that was due is done."""
    clock = sandbox.find("test_helpers.test_clock", ident)
    target = params["frozen_time"]
    if clock["status"] == "advancing":
        raise refused("Test clock advancement underway - cannot perform modifications.", "test_clock_advancing")
    if target <= clock["frozen_time"]:
        raise refused("Cannot move a test clock back or leave it where it is.", param="frozen_time")
    limit = _furthest(sandbox, clock)
    if limit is not None and target > limit:
        raise refused(
            "Cannot advance a test clock more than two intervals from its frozen time, given the shortest interval of "
            f"its subscriptions: at most to {limit}.",
            param="frozen_time",
        )
    clock["status"] = "advancing"
    clock["status_details"] = {"advancing": {"target_frozen_time": target}}
    sandbox.save(clock)
    answer = dict(clock)
    sandbox.emit("test_helpers.test_clock.advancing", clock)
    threading.Thread(target=finish_advance, args=(sandbox, ident, target), name=f"advance-{ident}", daemon=True).start()
    return answer


def _furthest(sandbox: Sandbox, clock: Obj) -> int | None:
    """Two intervals of the shortest subscription on the clock; None when there is none."""
    now = clock["frozen_time"]
    running = [s for s in sandbox.store.by("subscription", "test_clock", clock["id"]) if s["status"] not in ENDED]
    intervals = {interval_of(subscription) for subscription in running}
    return min((boundary_after(now, *i, boundary_after(now, *i, now)) for i in intervals), default=None)


def wait_for_endpoints(sandbox: Sandbox) -> Callable[[Obj], None]:
    """For `run_due`: before a draft is finalised, every endpoint must have been asked about it once.

    Time that is moved by hand leaps over the hour that a draft has, so this gives the endpoints their turn. One that
    then has not acknowledged holds the invoice back.
    """
    give_up = time.monotonic() + _ENDPOINTS_SECONDS

    def wait(entry: Obj) -> None:
        if entry["action"] != "invoice.finalize":
            return
        while time.monotonic() < give_up:
            with sandbox.lock:
                invoice = sandbox.store.get("invoice", entry["target"])
                if invoice is None or not sandbox.webhooks.event_is_untried(invoice.get("_created_event", "")):
                    return
            time.sleep(0.005)

    return wait


def finish_advance(sandbox: Sandbox, ident: str, target: int) -> None:
    """Do what is due in order, then declare the clock ready."""
    status = "ready"
    try:
        sandbox.run_due(ident, target, wait_for_endpoints(sandbox))
    except Exception:
        log.exception("advancing %s failed", ident)
        status = "internal_failure"
    with sandbox.lock:
        clock = sandbox.store.get("test_helpers.test_clock", ident)
        if clock is None:
            return
        if status != "ready":
            clock["status"] = status
            sandbox.save(clock)
            sandbox.emit("test_helpers.test_clock.internal_failure", clock)
            return
        clock |= {"frozen_time": target, "status": "ready", "status_details": {}}
        sandbox.save(clock)
        sandbox.emit("test_helpers.test_clock.ready", clock)


def resume_advances(sandbox: Sandbox) -> None:
    """Finish, after a restart, what an earlier process was in the middle of."""
    for clock in sandbox.store.all("test_helpers.test_clock"):
        if clock["status"] == "advancing":
            finish_advance(sandbox, clock["id"], clock["status_details"]["advancing"]["target_frozen_time"])


@call("DELETE", "test_helpers/test_clocks/{id}", "test_helpers.TestClockDeleteParams")
def test_clock_delete(sandbox: Sandbox, params: Obj, ident: str) -> Obj:
    """Deletes the clock and the customers that live on it; their subscriptions end."""
    clock = sandbox.find("test_helpers.test_clock", ident)
    for subscription in sandbox.store.by("subscription", "test_clock", ident):
        if subscription["status"] not in ENDED:
            subscription |= {"status": "canceled", "ended_at": clock["frozen_time"]}
            sandbox.save(subscription)
    for customer in sandbox.store.by("customer", "test_clock", ident):
        customer["_deleted"] = True
        sandbox.save(customer)
    for entry in sandbox.store.by("_due", "clock", ident):
        sandbox.store.remove("_due", entry["id"])
    sandbox.store.remove("test_helpers.test_clock", ident)
    sandbox.emit("test_helpers.test_clock.deleted", clock)
    return {"id": ident, "object": "test_helpers.test_clock", "deleted": True}
