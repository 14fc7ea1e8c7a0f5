"""The life of a subscription: periods that end, trials, cancellation, and what its invoices' fortunes do to it."""

from billing.sandbox.clock import action
from billing.sandbox.core import Sandbox
from billing.sandbox.periods import boundary_after
from billing.sandbox.resources import invoice_items, invoice_state, prorations
from billing.sandbox.resources.discounts import after_invoice
from billing.sandbox.resources.payment_methods import default_method
from billing.sandbox.resources.subscription_items import interval_of, period_of, set_period
from billing.sandbox.resources.subscription_lines import period_lines
from billing.sandbox.state import Obj

ENDED = ("canceled", "incomplete_expired")
INCOMPLETE_SECONDS = 23 * 3_600
TRIAL_WARNING_SECONDS = 3 * 86_400


def plan_period_end(sandbox: Sandbox, subscription: Obj) -> None:
    """Have the end of the current period dealt with when it comes."""
    sandbox.clock.schedule(
        subscription["test_clock"], period_of(subscription)[1], "subscription.period_end", subscription["id"]
    )


def plan_trial_warning(sandbox: Sandbox, subscription: Obj, now: int) -> None:
    moment = max(now, subscription["trial_end"] - TRIAL_WARNING_SECONDS)
    sandbox.clock.schedule(subscription["test_clock"], moment, "subscription.trial_will_end", subscription["id"])


@action("subscription.trial_will_end")
def _trial_will_end(sandbox: Sandbox, entry: Obj) -> None:
    subscription = sandbox.store.get("subscription", entry["target"])
    if subscription and subscription["status"] == "trialing":
        sandbox.emit("customer.subscription.trial_will_end", subscription)


@action("subscription.period_end")
def _period_end(sandbox: Sandbox, entry: Obj) -> None:
    subscription = sandbox.store.get("subscription", entry["target"])
    if subscription is None or subscription["status"] in (*ENDED, "paused", "incomplete"):
        return
    start, end = period_of(subscription)
    if end != entry["at"]:
        return
    if subscription["cancel_at_period_end"] or (subscription["cancel_at"] and subscription["cancel_at"] <= end):
        _final_invoice(sandbox, subscription, (start, end))
        cancel_now(sandbox, subscription, end)
        return
    if subscription["status"] == "trialing" and not _leave_trial(sandbox, subscription, end):
        return
    interval, count = interval_of(subscription)
    set_period(subscription, end, boundary_after(subscription["billing_cycle_anchor"], interval, count, end))
    previous = {"items": {"data": [{"current_period_start": start, "current_period_end": end}]}}
    invoice = cycle_invoice(sandbox, subscription, (start, end))
    sandbox.save(subscription)
    sandbox.emit("customer.subscription.updated", subscription, previous | {"latest_invoice": None})
    invoice_state.announce_draft(sandbox, invoice)
    plan_period_end(sandbox, subscription)


def _leave_trial(sandbox: Sandbox, subscription: Obj, now: int) -> bool:
    """The trial is over; False when that ends or pauses the subscription for want of a payment method."""
    customer = sandbox.find("customer", subscription["customer"])
    behaviour = subscription["trial_settings"]["end_behavior"]["missing_payment_method"]
    method = default_method(sandbox, customer, subscription["default_payment_method"])
    if method is None and behaviour == "cancel":
        cancel_now(sandbox, subscription, now)
        return False
    if method is None and behaviour == "pause":
        subscription["status"] = "paused"
        sandbox.save(subscription)
        sandbox.emit("customer.subscription.paused", subscription)
        return False
    subscription["status"] = "active"
    return True


def cycle_invoice(sandbox: Sandbox, subscription: Obj, ended: tuple[int, int]) -> Obj:
    """The draft for a period that begins: its fixed prices in advance, and what was pending from the one that ended."""
    customer = sandbox.find("customer", subscription["customer"])
    now = ended[1]
    invoice = invoice_state.draft(sandbox, customer, subscription["currency"], "subscription_cycle", now, subscription)
    invoice |= {"period_start": ended[0], "period_end": ended[1]}
    if subscription["pause_collection"] or subscription["status"] == "unpaid":
        invoice["auto_advance"] = False
    period_lines(sandbox, invoice, subscription, period_of(subscription))
    invoice_items.attach_pending(sandbox, invoice, subscription["id"])
    invoice_state.save(sandbox, invoice)
    subscription["latest_invoice"] = invoice["id"]
    subscription["discounts"] = after_invoice(sandbox, subscription["discounts"])
    return invoice


def _final_invoice(sandbox: Sandbox, subscription: Obj, ended: tuple[int, int]) -> None:
    """What was still pending when a subscription ends is billed once more."""
    if not invoice_items.pending(
        sandbox, subscription["customer"], subscription["currency"], subscription["id"], own=True
    ):
        return
    customer = sandbox.find("customer", subscription["customer"])
    invoice = invoice_state.draft(
        sandbox, customer, subscription["currency"], "subscription_cycle", ended[1], subscription
    )
    invoice |= {"period_start": ended[0], "period_end": ended[1]}
    invoice_items.attach_pending(sandbox, invoice, subscription["id"])
    invoice_state.save(sandbox, invoice)
    subscription["latest_invoice"] = invoice["id"]
    invoice_state.announce_draft(sandbox, invoice)


def cancel_now(
    sandbox: Sandbox, subscription: Obj, now: int, *, prorate: bool = False, invoice_now: bool = False
) -> Obj:
    """End a subscription. Its open invoices are no longer collected on their own."""
    if prorate:
        prorations.credit_unused(sandbox, subscription, now)
    status = "incomplete_expired" if subscription["status"] == "incomplete" else "canceled"
    subscription |= {"status": status, "ended_at": now, "canceled_at": subscription["canceled_at"] or now}
    if subscription["cancellation_details"]["reason"] is None:
        subscription["cancellation_details"]["reason"] = "cancellation_requested"
    if invoice_now:
        _final_invoice(sandbox, subscription, (period_of(subscription)[0], now))
    sandbox.save(subscription)
    for invoice in sandbox.store.by("invoice", "_subscription", subscription["id"]):
        if invoice["status"] == "open":
            invoice |= {"auto_advance": False, "next_payment_attempt": None}
            sandbox.save(invoice)
    type_ = "updated" if status == "incomplete_expired" else "deleted"
    sandbox.emit(f"customer.subscription.{type_}", subscription, {} if type_ == "updated" else None)
    return subscription


@action("subscription.cancel")
def _cancel_due(sandbox: Sandbox, entry: Obj) -> None:
    subscription = sandbox.store.get("subscription", entry["target"])
    if subscription and subscription["status"] not in ENDED and subscription["cancel_at"] == entry["at"]:
        cancel_now(sandbox, subscription, entry["at"])


@action("subscription.expire")
def _expire_due(sandbox: Sandbox, entry: Obj) -> None:
    """A first payment that was never made: the subscription lapses and its invoice is void."""
    subscription = sandbox.store.get("subscription", entry["target"])
    if subscription and subscription["status"] == "incomplete":
        cancel_now(sandbox, subscription, entry["at"])
        invoice = sandbox.store.get("invoice", subscription["latest_invoice"] or "")
        if invoice and invoice["status"] == "open":
            invoice_state.close(sandbox, invoice, "void", entry["at"])


def payment_failed(sandbox: Sandbox, subscription: Obj, invoice: Obj, now: int, *, final: bool) -> None:
    """An invoice of this subscription could not be collected; `final`: nor will it be tried again."""
    if subscription["status"] in ("active", "trialing"):
        set_status(sandbox, subscription, "past_due")
    elif final and subscription["status"] == "past_due":
        subscription["cancellation_details"]["reason"] = "payment_failed"
        cancel_now(sandbox, subscription, now)


def invoice_settled(sandbox: Sandbox, subscription: Obj, now: int) -> None:
    """An invoice was paid, voided or written off: without open ones the subscription is in order again."""
    if subscription["status"] not in ("incomplete", "past_due", "unpaid"):
        return
    owed = [i for i in sandbox.store.by("invoice", "_subscription", subscription["id"]) if i["status"] == "open"]
    latest = sandbox.store.get("invoice", subscription["latest_invoice"] or "")
    if subscription["status"] == "incomplete" and latest and latest["status"] == "void":
        cancel_now(sandbox, subscription, now)
    elif not owed:
        set_status(sandbox, subscription, "trialing" if (subscription["trial_end"] or 0) > now else "active")


def set_status(sandbox: Sandbox, subscription: Obj, status: str) -> None:
    """Change the status and say so."""
    previous = {"status": subscription["status"]}
    subscription["status"] = status
    sandbox.save(subscription)
    sandbox.emit("customer.subscription.updated", subscription, previous)
