"""The billing day: drafts, usage items, payments, one declined card, one refund, and what customers say."""

import time
from collections.abc import Callable
from typing import Any

from billing.models import Invoice, StripeEvent, StripeEventState
from billing.services.refunds import refund_create
from millrace.kernel.audit import Actor
from millrace.kernel.models import OutboxEvent
from millrace.kernel.tenancy import platform_scope
from millrace.story.acts.month import GOOD_CARD, Crowd, Customer, at_once, billing_day_hour, pay_page
from millrace.story.cast import LAST_MOVE, REFUND
from millrace.story.people import StoryError
from millrace.story.stage import Stage, sandbox

PATIENCE_SECONDS = 120


def settle(stage: Stage, crowd: Crowd) -> dict[str, Any]:
    """Let the month's invoices be drafted, rated, finalised and paid; returns what went wrong on purpose."""
    stage.move_to(billing_day_hour(0.25))
    wait_quiet(stage)
    stage.move_to(billing_day_hour(2))
    wait_quiet(stage)
    declined = crowd.of("declined")
    state = declined.owner.api("GET", "/v1/tenant")["state"]
    if state != "past_due":
        raise StoryError(f"the declined card left its tenant {state}, not past_due")
    _new_card(declined)
    wait_quiet(stage)
    stage.move_to(LAST_MOVE)
    wait_quiet(stage)
    until(lambda: declined.owner.api("GET", "/v1/tenant")["state"] == "active", "the declined card's tenant is paid up")
    _refund(crowd)
    wait_quiet(stage)
    return {"declined_card": declined.organisation.name, "refunded": crowd.of("refunded").organisation.name}


def ask_customers(crowd: Crowd) -> int:
    """A hundred owners answer how satisfied they are."""
    asked = [one for one in crowd.customers.values() if one.organisation.score]
    at_once(lambda one: one.owner.api("POST", "/v1/surveys/csat", {"score": one.organisation.score}), asked)
    return len(asked)


def wait_quiet(stage: Stage) -> None:
    """Until Stripe has delivered all its webhooks and every piece of news has reached every room."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    quiet = 0
    while quiet < 2:
        if time.monotonic() > deadline:
            raise StoryError(f"webhooks or events are still under way after {PATIENCE_SECONDS} s: {_backlog()}")
        sandbox("POST", "/_sandbox/flush", {"timeout": PATIENCE_SECONDS})
        backlog = _backlog()
        quiet = quiet + 1 if not any(backlog.values()) else 0
        time.sleep(0.1 if quiet else 0.3)


def until(is_so: Callable[[], bool], what: str, seconds: float = 30) -> None:
    """Wait for something that other programs bring about."""
    deadline = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > deadline:
            raise StoryError(f"after {seconds:g} s it is still not so that {what}")
        time.sleep(0.2)


def _backlog() -> dict[str, int]:

    with platform_scope(reason="the story waits for the backlog"):
        return {
            "stripe": sandbox("GET", "/_sandbox/deliveries?pending=1")["pending"],
            "inbox": StripeEvent.objects.filter(state=StripeEventState.PENDING).count(),
            "outbox": OutboxEvent.objects.filter(done_at__isnull=True).count(),
        }


def _new_card(customer: Customer) -> None:
    """The owner opens the billing portal and gives a card that works."""
    url = customer.owner.api("POST", "/v1/billing-portal-sessions", {})["url"]
    pay_page(url, GOOD_CARD, customer.owner.email, action="card")


def _refund(crowd: Crowd) -> None:
    customer = crowd.of("refunded")
    listed = customer.owner.api("GET", "/v1/invoices")["data"]
    paid = next(one for one in listed if one["status"] == "paid" and one["total"]["amount"] > REFUND)
    with platform_scope(reason="support refunds a customer"):
        invoice = next(one for one in Invoice.objects.filter(status="paid") if one.public_id == paid["id"])
        refund_create(invoice_id=invoice.pk, amount=REFUND, actor=Actor.system("story"), reason="a line stood still")
