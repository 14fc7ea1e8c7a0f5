"""Credit notes, made at Stripe: what they take off an invoice leaves revenue and commission, once, whatever way it goes."""

import pytest

from accounts.models import Tenant
from billing.errors import NotRefundable
from billing.models import Subscription
from billing.services.refunds import refund_create
from billing.stripe.client import client
from millrace.kernel.models import OutboxEvent
from millrace.kernel.tenancy import platform_scope
from tests.billing.stripe_world import World
from tests.billing.test_cycles import _card, differences
from tests.billing.test_flow import RENEWAL, balances
from tests.factories import SYSTEM

ACCOUNTS = "revenue:subscription", "refunds:subscription", "stripe:clearing", "credits:customer_balance"


def told(tenant: Tenant) -> list[int]:
    with platform_scope(reason="test"):
        news = OutboxEvent.objects.filter(topic="invoice.refunded", tenant=tenant).order_by("id")
        return [sum(line["amount"] for line in event.payload["lines"]) for event in news]


@pytest.mark.parametrize("backwards", [False, True])
def test_a_credit_note_before_payment_lowers_what_is_earned(world: World, tenant: Tenant, backwards: bool) -> None:
    world.account(tenant)
    subscription: Subscription = world.subscribe(tenant, "starter")
    broke: dict = {"default_payment_method": _card(subscription, "pm_card_chargeCustomerFail")}
    client().v1.subscriptions.update(subscription.stripe_id, broke)
    world.advance(RENEWAL)
    second = world.invoices(tenant)[1]
    client().v1.credit_notes.create({"invoice": second.stripe_id, "amount": 9_900})
    client().v1.invoices.pay(second.stripe_id, {"payment_method": _card(subscription, "pm_card_visa")})

    for event in sorted(world.fresh_events(), key=lambda event: event["created"], reverse=backwards):
        world.post(event)
        world.process()

    assert world.invoices(tenant)[1].amount_paid == 20_000
    assert balances(*ACCOUNTS) == [-59_800, 9_900, 49_900, 0]
    assert told(tenant) == [9_900]
    assert differences() == []
    with pytest.raises(NotRefundable, match=r"200\.00"):
        refund_create(invoice_id=second.pk, amount=20_001, actor=SYSTEM, reason="x")


def test_a_credit_note_onto_the_balance_pays_the_next_invoice(world: World, tenant: Tenant) -> None:
    world.account(tenant)
    world.subscribe(tenant, "starter")
    (first,) = world.invoices(tenant)
    client().v1.credit_notes.create({"invoice": first.stripe_id, "amount": 10_000, "credit_amount": 10_000})
    world.deliver()
    assert balances(*ACCOUNTS) == [-29_900, 10_000, 29_900, -10_000]

    world.advance(RENEWAL)

    assert world.invoices(tenant)[1].amount_paid == 19_900
    assert balances(*ACCOUNTS) == [-59_800, 10_000, 49_800, 0]
    assert told(tenant) == [10_000]
    assert differences() == []


def test_the_refund_and_the_rest_of_a_credit_note_are_counted_once_each(world: World, tenant: Tenant) -> None:
    world.account(tenant)
    world.subscribe(tenant, "starter")
    (first,) = world.invoices(tenant)
    client().v1.credit_notes.create(
        {
            "invoice": first.stripe_id,
            "amount": 900,
            "refund_amount": 500,
            "credit_amount": 300,
            "out_of_band_amount": 100,
        }
    )

    events = world.fresh_events()
    for event in [*events, *events]:
        world.post(event)
        world.process()

    assert balances(*ACCOUNTS, "credits:out_of_band") == [-29_900, 900, 29_400, -300, -100]
    assert sorted(told(tenant)) == [400, 500]
    assert differences() == []
