"""Which usage a draft takes, without Stripe."""

from datetime import UTC, datetime, timedelta

import pytest

from accounts.models import Tenant
from billing.models import LARGEST_QUANTITY, Invoice, Subscription
from billing.services.rating import invoice_rate
from billing.services.usage import Usage, usage_record_many
from millrace.kernel.tenancy import platform_scope, tenant_scope
from tests.billing.factories import make_subscription
from tests.billing.test_flow import use

START = datetime(2026, 1, 1, tzinfo=UTC)
pytestmark = pytest.mark.django_db


def rated(subscription: Subscription, **fields: object) -> list[tuple[str, int]]:
    """The lines that a draft of the subscription's first month gets: (meter, quantity)."""
    begin = subscription.started_at
    with platform_scope(reason="test"):
        invoice = Invoice.objects.create(
            **{
                "tenant": subscription.tenant, "billing_account": subscription.billing_account, "stripe_id": "in_1",
                "subscription": subscription, "status": "draft", "currency": "CNY", "period_start": begin,
                "period_end": begin + timedelta(days=30),
            } | fields
        )  # fmt: skip
        return [(line.meter, line.quantity) for line in invoice_rate(invoice_id=invoice.pk)]


def test_no_sum_of_quantities_is_too_large_to_be_billed(tenant: Tenant) -> None:
    subscription = make_subscription(tenant, start=START)
    count = 2**63 // LARGEST_QUANTITY + 1
    with tenant_scope(tenant.pk):
        events = [Usage("own:x", LARGEST_QUANTITY, START, f"k{number}") for number in range(count)]
        usage_record_many(tenant_id=tenant.pk, events=events)

    assert rated(subscription) == [("own:x", count * LARGEST_QUANTITY)]


def test_usage_under_a_subscription_whose_first_payment_was_never_made_stays_free(tenant: Tenant) -> None:
    lapsed = {"status": "incomplete_expired", "ended_at": START + timedelta(hours=23)}
    make_subscription(tenant, start=START, **lapsed)
    use(tenant, "cpu_ms", 3_000_000, START + timedelta(hours=2))

    assert rated(make_subscription(tenant, start=START + timedelta(days=5))) == []


def test_a_draft_that_was_thrown_away_meanwhile_takes_no_usage(tenant: Tenant) -> None:
    subscription = make_subscription(tenant, start=START)
    use(tenant, "cpu_ms", 3_000_000, START + timedelta(hours=2))

    assert rated(subscription, status="deleted") == []
    assert rated(subscription, stripe_id="in_2") == [("cpu_ms", 3_000_000)]
