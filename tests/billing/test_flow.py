"""The life of an invoice, through Stripe's doors: subscribe, use, draft, rate, compare, pay, give back."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from accounts.models import Tenant
from billing import reconcile
from billing.models import Dispute, InvoiceLine, UsageEvent
from billing.services.refunds import refund_create
from billing.services.usage import usage_record
from billing.stripe.client import client
from millrace.kernel import clock, ledger
from millrace.kernel.models import OutboxEvent
from millrace.kernel.tenancy import platform_scope, tenant_scope
from tests.billing.stripe_world import World
from tests.factories import SYSTEM

START = datetime(2026, 1, 10, 9, tzinfo=UTC)
RENEWAL = datetime(2026, 2, 10, 9, 1, tzinfo=UTC)


def use(
    tenant: Tenant, meter: str, quantity: int, at: datetime, key: str = "", *, recorded: datetime | None = None
) -> None:
    """Usage that happened, and unless told otherwise was recorded, at `at`."""
    with clock.frozen(recorded or at), tenant_scope(tenant.pk):
        usage_record(tenant_id=tenant.pk, meter=meter, quantity=quantity, occurred_at=at, key=key or f"{meter}:{at}")


def balances(*accounts: str) -> list[int]:
    with platform_scope(reason="test"):
        return [ledger.balance(account, "CNY") for account in accounts]


def test_from_checkout_to_the_ledger(world: World, tenant: Tenant) -> None:
    world.account(tenant)
    subscription = world.subscribe(tenant, "starter")
    assert subscription.status == "active"
    (first,) = world.invoices(tenant)
    assert (first.status, first.total, first.billing_reason) == ("paid", 29_900, "subscription_create")

    use(tenant, "gpu_ms", 3_600_000, START + timedelta(days=3))  # one hour: 18.00
    use(tenant, "predictions", 10_100, START + timedelta(days=5))  # 100 beyond the included: 0.80
    world.advance(RENEWAL)

    assert world.unhandled() == []
    second = world.invoices(tenant)[1]
    assert (second.status, second.total, second.hold_reason) == ("paid", 29_900 + 1_800 + 80, "")
    with platform_scope(reason="test"):
        lines = {line.meter or line.kind: (line.quantity, line.net) for line in second.lines.all()}
        assert lines == {"gpu_ms": (3_600_000, 1_800), "predictions": (10_100, 80), "subscription": (1, 29_900)}
        assert not UsageEvent.objects.filter(invoice_line__isnull=True).exists()
    assert balances("stripe:clearing", "revenue:subscription", "revenue:usage") == [61_680, -59_800, -1_880]


def test_refund_goes_back_over_the_lines_once(world: World, tenant: Tenant) -> None:
    world.account(tenant)
    world.subscribe(tenant, "starter")
    use(tenant, "gpu_ms", 3_600_000, START + timedelta(days=3))
    world.advance(RENEWAL)
    second = world.invoices(tenant)[1]

    refund_create(invoice_id=second.pk, amount=3_170, actor=SYSTEM, reason="goodwill")
    world.deliver()
    world.deliver()

    assert balances("refunds:subscription", "refunds:usage") == [2_990, 180]
    refund_create(invoice_id=second.pk, amount=28_530, actor=SYSTEM, reason="all of it")
    world.deliver()
    assert balances("refunds:subscription", "refunds:usage", "stripe:clearing") == [29_900, 1_800, 29_900]
    with platform_scope(reason="test"):
        assert OutboxEvent.objects.filter(topic="invoice.refunded").count() == 2


def test_a_refund_that_the_bank_sends_back_is_reversed_once_and_can_be_given_again(
    world: World, tenant: Tenant
) -> None:
    world.account(tenant)
    world.subscribe(tenant, "starter")
    (invoice,) = world.invoices(tenant)
    refund = refund_create(invoice_id=invoice.pk, amount=9_967, actor=SYSTEM, reason="goodwill")
    world.deliver()
    assert balances("refunds:subscription", "stripe:clearing") == [9_967, 29_900 - 9_967]

    world.server.control(f"refunds/{refund.stripe_id}/fail", {})
    events = world.fresh_events()
    for event in [*events, *reversed(events)]:
        world.post(event)
    world.process()

    assert balances("refunds:subscription", "stripe:clearing") == [0, 29_900]
    with platform_scope(reason="test"):
        refund.refresh_from_db()
        assert (refund.status, refund.returned_at) == ("failed", world.now)
        assert OutboxEvent.objects.filter(topic="invoice.refund_failed").count() == 1
        assert [one.differences for one in (reconcile.r3(), reconcile.r4())] == [[], []]
    refund_create(invoice_id=invoice.pk, amount=29_900, actor=SYSTEM, reason="all of it, to another card")
    world.deliver()
    assert balances("refunds:subscription", "stripe:clearing") == [29_900, 0]


def test_c1_a_lost_dispute_takes_the_money_back(world: World, tenant: Tenant) -> None:
    world.account(tenant)
    world.subscribe(tenant, "starter", card="pm_card_createDispute")

    assert balances("disputes:held", "stripe:clearing") == [29_900, 0]
    with platform_scope(reason="test"):
        dispute = Dispute.objects.get()
    client().v1.disputes.close(dispute.stripe_id)
    world.deliver()

    assert balances("disputes:held", "disputes:subscription", "stripe:clearing") == [0, 29_900, 0]
    with platform_scope(reason="test"):
        (event,) = OutboxEvent.objects.filter(topic="invoice.dispute_lost")
        line = InvoiceLine.objects.get()
        assert event.payload["lines"] == [{"line_id": str(line.pk), "amount": 29_900}]


def test_a_lost_dispute_that_is_won_on_appeal_brings_the_money_back_once(world: World, tenant: Tenant) -> None:
    world.account(tenant, tax_percent=Decimal(10), tax_country="CN")
    world.subscribe(tenant, "starter", card="pm_card_createDispute")
    with platform_scope(reason="test"):
        dispute = Dispute.objects.get()
    client().v1.disputes.close(dispute.stripe_id)
    world.deliver()
    assert balances("disputes:subscription", "tax:payable", "stripe:clearing") == [29_900, 0, 0]

    world.server.control(f"disputes/{dispute.stripe_id}/overturn", {})
    events = world.fresh_events()
    for event in [*events, *reversed(events)]:
        world.post(event)
        world.process()

    assert world.unhandled() == []
    moved = balances("disputes:subscription", "tax:payable", "stripe:clearing", "disputes:held")
    assert moved == [0, -2_990, 32_890, 0]
    with platform_scope(reason="test"):
        (event,) = OutboxEvent.objects.filter(topic="invoice.dispute_won")
        line = InvoiceLine.objects.get()
        assert event.payload["lines"] == [{"line_id": str(line.pk), "amount": 29_900}]
        assert [one.differences for one in (reconcile.r3(), reconcile.r4())] == [[], []]


def test_a_dispute_that_is_won_is_held_and_given_back(world: World, tenant: Tenant) -> None:
    world.account(tenant)
    world.subscribe(tenant, "starter", card="pm_card_createDispute")
    assert balances("disputes:held", "stripe:clearing") == [29_900, 0]
    with platform_scope(reason="test"):
        dispute = Dispute.objects.get()

    client().v1.disputes.update(dispute.stripe_id, {"evidence": {"uncategorized_text": "winning_evidence"}})
    world.deliver()

    assert balances("disputes:held", "stripe:clearing", "disputes:subscription") == [0, 29_900, 0]
