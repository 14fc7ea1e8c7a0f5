"""From a partner's link to its commission, through Stripe's stand-in and billing's own news; the books agree."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connections

from billing.models import Dispute
from billing.services.catalogue import catalogue_seed
from billing.services.refunds import refund_create
from billing.stripe.client import client
from channels_partners import reconcile
from channels_partners.models import Attribution
from channels_partners.services.links import code_create
from millrace.kernel import clock
from millrace.kernel.tenancy import platform_scope
from tests.billing.stripe_world import World, stripe_world
from tests.channels_partners.makers import amounts_of, make_partner, sign_up
from tests.factories import SYSTEM

START = datetime(2026, 1, 10, 9, tzinfo=UTC)


@pytest.fixture
def world(database: None) -> Iterator[World]:
    """Stripe, with the example catalogue for sale."""
    catalogue_seed()
    with stripe_world(START) as made:
        yield made


@pytest.fixture
def customer(world: World) -> Attribution:
    """A customer that a partner brought, with its first invoice paid."""
    return brought(world)


def brought(world: World, card: str = "pm_card_visa") -> Attribution:
    with clock.frozen(START - timedelta(days=1)):
        partner = make_partner()
        code_create(code="FAIR26", channel=partner.channel, partner=partner, actor=SYSTEM)
        found = sign_up(coupon="FAIR26")
    world.account(found.tenant)
    world.subscribe(found.tenant, "starter", card=card)
    return found


def differences(check=None) -> list[str]:
    with platform_scope(reason="test"):
        checks = [check] if check else [reconcile.r5, reconcile.r6]
        return [text for one in checks for text in one().differences]


def test_a_subscription_pays_the_partner_and_the_books_agree(world: World, customer: Attribution) -> None:
    (invoice,) = world.invoices(customer.tenant)

    assert amounts_of(customer) == [round(invoice.subtotal * 0.2)]
    assert differences() == []
    with platform_scope(reason="test"):
        assert reconcile.r5().checked == 1
        assert reconcile.r6().checked == 1


def test_c1_c2_refunds_in_parts_and_the_whole_return_the_commission_exactly(
    world: World, customer: Attribution
) -> None:
    (invoice,) = world.invoices(customer.tenant)
    for amount in (9_967, invoice.total - 9_967):
        with clock.frozen(world.now):
            refund_create(invoice_id=invoice.pk, amount=amount, actor=SYSTEM, reason="test")
        world.deliver()
        assert differences() == []

    assert len(amounts_of(customer)) == 3
    assert sum(amounts_of(customer)) == 0


def test_c1_a_lost_dispute_returns_the_commission(world: World) -> None:
    customer = brought(world, card="pm_card_createDispute")
    with platform_scope(reason="test"):
        dispute = Dispute.objects.get()
    client().v1.disputes.close(dispute.stripe_id)
    world.deliver()

    assert len(amounts_of(customer)) == 2
    assert sum(amounts_of(customer)) == 0
    assert differences() == []


def test_a_refund_that_the_bank_sends_back_is_owed_to_the_partner_again(world: World, customer: Attribution) -> None:
    (invoice,) = world.invoices(customer.tenant)
    with clock.frozen(world.now):
        refund = refund_create(invoice_id=invoice.pk, amount=9_967, actor=SYSTEM, reason="test")
    world.deliver()
    world.server.control(f"refunds/{refund.stripe_id}/fail", {})
    world.deliver()

    earned, taken, given = amounts_of(customer)
    assert (earned > 0, given) == (True, -taken)
    assert differences() == []


def test_r5_names_a_commission_that_the_terms_do_not_give(real_db: None, world: World, customer: Attribution) -> None:
    tamper("channels_partners_commissionentry", "UPDATE channels_partners_commissionentry SET amount = amount + 1")

    found = differences(reconcile.r5)

    assert any("stands and is not due" in text for text in found)
    assert any("earned" in text and "posted" in text for text in found)


def test_r6_names_revenue_that_no_line_makes(real_db: None, world: World, customer: Attribution) -> None:
    tamper("billing_invoiceline", "UPDATE billing_invoiceline SET amount = amount + 1")

    assert any("billing's settled lines" in text for text in differences(reconcile.r6))


def test_r6_counts_money_that_a_faster_clock_dated_after_our_now(world: World, customer: Attribution) -> None:
    """Stripe dates the postings; a report that stopped at our own now would leave them out and differ from billing."""
    with clock.frozen(START - timedelta(days=60)):
        assert differences(reconcile.r6) == []


def tamper(table: str, sql: str) -> None:
    """What no role of the application may do: the table's owner takes its triggers off."""
    with connections["owner"].cursor() as cursor:
        cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
    with platform_scope(reason="test"), connections["default"].cursor() as cursor:
        cursor.execute(sql)
    with connections["owner"].cursor() as cursor:
        cursor.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")
