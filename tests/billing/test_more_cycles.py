"""Clocks, zones, coupons, and the doors of buying and changing a plan against a living Stripe."""

from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise

import httpx
import pytest

from accounts.models import Tenant
from billing.errors import NotRefundable, PaymentServiceFailed
from billing.models import BillingAccount, Dispute, Refund, Subscription, TenantBilling, UsageEvent
from billing.sandbox.errors import refused
from billing.sandbox.resources import invoice_state
from billing.services import refunds
from billing.services.accounts import billing_account_set_terms
from billing.services.catalogue import plan_create, price_version_publish
from billing.services.checkout import checkout_session_create, subscription_start
from billing.services.rating import invoice_rate
from billing.services.refunds import refund_create
from billing.services.usage import usage_record
from billing.stripe import invoicing, reversals
from billing.stripe.client import client
from millrace.kernel import clock
from millrace.kernel.ids import uuid7
from millrace.kernel.tenancy import platform_scope, tenant_scope
from tests.billing.factories import make_billing, make_invoice
from tests.billing.stripe_world import World
from tests.billing.test_cycles import MARCH, as_tenant, differences, lines
from tests.billing.test_flow import RENEWAL, START, balances, use
from tests.factories import SYSTEM, ApiClient, make_tenant
from tests.threads import in_threads


def test_m4_a_zone_or_an_odd_month_end_makes_no_second_invoice(world: World, tenant: Tenant) -> None:
    world.advance(datetime(2026, 1, 31, 16, 30, tzinfo=UTC))  # 1 February in Shanghai
    account = world.account(tenant)
    BillingAccount.objects.filter(pk=account.pk).update(time_zone="Asia/Shanghai")
    world.subscribe(tenant, "starter")
    for month, day in ((2, 28), (3, 31), (4, 30)):
        world.advance(datetime(2026, month, day, 16, 31, tzinfo=UTC))

    periods = [(one.period_start, one.period_end) for one in world.invoices(tenant)[1:]]
    assert len(periods) == 3
    assert all(before[1] == after[0] for before, after in pairwise(periods))
    assert differences() == []


def test_m11_each_account_may_have_a_clock_of_its_own(world: World, tenant: Tenant, charlie: object) -> None:
    with platform_scope(reason="the other tenant"):
        other = Tenant.objects.exclude(pk=tenant.pk).get()
    apart = World(world.server, START)
    world.account(tenant)
    apart.account(other)
    world.subscribe(tenant, "starter")
    apart.subscribe(other, "starter")

    world.advance(RENEWAL)

    assert (len(world.invoices(tenant)), len(world.invoices(other))) == (2, 1)
    assert client().v1.test_helpers.test_clocks.retrieve(apart.clock).frozen_time == int(START.timestamp())


def test_m12_finalising_what_is_final_counts_as_done(world: World, tenant: Tenant) -> None:
    world.account(tenant)
    world.subscribe(tenant, "starter")
    (invoice,) = world.invoices(tenant)

    invoicing._finalize(invoice)  # Stripe answers 400: it is final already

    assert world.unhandled() == []


def test_a_coupon_lowers_the_fee_and_not_the_usage(world: World, tenant: Tenant) -> None:
    world.account(tenant)
    subscription = world.subscribe(tenant, "starter")
    coupon = client().v1.coupons.create({"percent_off": 33, "duration": "forever"})
    discounts: dict = {"discounts": [{"coupon": coupon.id}]}
    client().v1.subscriptions.update(subscription.stripe_id, discounts)
    use(tenant, "gpu_ms", 3_600_000, START + timedelta(days=1))

    world.advance(RENEWAL)

    second = world.invoices(tenant)[1]
    assert (second.status, second.discount, second.hold_reason) == ("paid", 9_867, "")
    assert lines(second) == {"subscription": 20_033, "gpu_ms": 1_800}
    assert balances("revenue:subscription") == [-29_900 - 20_033]
    assert differences() == []


def test_a_payer_on_account_is_billed_without_checkout(world: World, tenant: Tenant) -> None:
    world.account(tenant)
    with clock.frozen(world.now), tenant_scope(tenant.pk):
        start = {"tenant_id": tenant.pk, "plan": "studio", "actor": SYSTEM, "key": "k", "days_until_due": 14}
        first, again = subscription_start(**start), None
        with pytest.raises(Exception, match="Change the plan"):
            again = subscription_start(**start)
    assert again is None
    world.deliver()
    world.advance(datetime(2026, 1, 28, 0, 1, tzinfo=UTC))

    (invoice,) = world.invoices(tenant)
    assert (first.status, invoice.status, invoice.total) == ("active", "open", 150_000)
    client().v1.invoices.pay(invoice.stripe_id, {"paid_out_of_band": True})
    world.deliver()
    assert world.invoices(tenant)[0].status == "paid"
    assert differences() == []


def test_usage_that_arrives_while_its_period_is_rated_is_never_lost(
    real_db: None, world: World, tenant: Tenant
) -> None:
    world.account(tenant)
    world.subscribe(tenant, "starter")
    use(tenant, "gpu_ms", 1_000, START + timedelta(days=3))

    def act(number: int) -> None:
        if number == 0:
            world.advance(RENEWAL)
            return
        for step in range(40):
            with tenant_scope(tenant.pk):
                at = START + timedelta(days=4, seconds=step)
                key = f"{number}:{step}"
                usage_record(tenant_id=tenant.pk, meter="gpu_ms", quantity=1_000, occurred_at=at, key=key)

    results = in_threads(4, act)
    assert results == [None] * 4
    world.advance(MARCH)

    with platform_scope(reason="test"):
        assert UsageEvent.objects.filter(invoice_line__isnull=True).count() == 0
        assert sum(UsageEvent.objects.values_list("quantity", flat=True)) == 121_000
    assert differences() == []


def test_rating_twice_changes_nothing(world: World, tenant: Tenant) -> None:
    world.account(tenant)
    world.subscribe(tenant, "starter")
    use(tenant, "gpu_ms", 3_600_000, START + timedelta(days=3))
    world.advance(RENEWAL)
    second = world.invoices(tenant)[1]
    use(tenant, "gpu_ms", 3_600_000, START + timedelta(days=4), key="late", recorded=RENEWAL + timedelta(days=1))

    with platform_scope(reason="test"):
        found = [line.quantity for line in invoice_rate(invoice_id=second.pk)]

    assert found == [3_600_000]


def test_more_than_was_paid_cannot_be_refunded(world: World, tenant: Tenant) -> None:
    world.account(tenant)
    world.subscribe(tenant, "starter")
    (invoice,) = world.invoices(tenant)
    for amount in (0, -1, 29_901):
        with pytest.raises(NotRefundable):
            refund_create(invoice_id=invoice.pk, amount=amount, actor=SYSTEM, reason="x")
    refund_create(invoice_id=invoice.pk, amount=29_900, actor=SYSTEM, reason="x")

    with pytest.raises(NotRefundable):
        refund_create(invoice_id=invoice.pk, amount=1, actor=SYSTEM, reason="x")
    with pytest.raises(NotRefundable):
        refund_create(invoice_id=make_invoice(tenant).pk, amount=1, actor=SYSTEM, reason="no payment at Stripe")
    assert balances("stripe:clearing") == [0]


def test_a_refund_that_was_stored_and_not_sent_is_sent_once(
    world: World, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.account(tenant)
    world.subscribe(tenant, "starter")
    (invoice,) = world.invoices(tenant)
    monkeypatch.setattr(refunds, "refund_send", lambda _: (_ for _ in ()).throw(RuntimeError("crash")))
    with pytest.raises(RuntimeError):
        refund_create(invoice_id=invoice.pk, amount=100, actor=SYSTEM, reason="x")
    monkeypatch.undo()
    with platform_scope(reason="test"):
        stored = Refund.objects.get()

    for _ in range(2):
        refund_create(invoice_id=invoice.pk, amount=100, actor=SYSTEM, reason="x", refund_id=stored.pk)
    world.deliver()

    assert balances("refunds:subscription") == [100]
    assert len(client().v1.refunds.list({}).data) == 1


def test_a_refund_that_stripe_refuses_holds_nothing_back(world: World, tenant: Tenant) -> None:
    world.account(tenant)
    world.subscribe(tenant, "starter")
    (invoice,) = world.invoices(tenant)
    elsewhere: dict = {"payment_intent": invoice.payment_intent_id}  # on Stripe's own page; we have not heard of it
    made = client().v1.refunds.create(elsewhere)
    asked = uuid7()
    for error in (PaymentServiceFailed, NotRefundable):
        with pytest.raises(error):
            refund_create(invoice_id=invoice.pk, amount=29_900, actor=SYSTEM, reason="x", refund_id=asked)
    world.deliver()
    world.server.control(f"refunds/{made.id}/fail", {})
    world.deliver()

    refund_create(invoice_id=invoice.pk, amount=29_900, actor=SYSTEM, reason="x")

    assert balances("refunds:subscription", "stripe:clearing") == [29_900, 0]
    assert differences() == []


def test_a_refund_whose_news_came_before_the_answer_is_not_asked_for_again(
    world: World, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.account(tenant)
    world.subscribe(tenant, "starter")
    (invoice,) = world.invoices(tenant)
    refund = refund_create(invoice_id=invoice.pk, amount=100, actor=SYSTEM, reason="x")
    monkeypatch.setattr(reversals, "once", lambda _: {})  # a day later, Stripe has forgotten the key

    refund_create(invoice_id=invoice.pk, amount=100, actor=SYSTEM, reason="x", refund_id=refund.pk)

    assert len(client().v1.refunds.list({}).data) == 1


@pytest.mark.parametrize(
    ("status", "refundable"),
    [("warning_needs_response", True), ("warning_closed", True), ("won", True), ("under_review", False),
     ("appeal_under_review", False), ("lost", False)],
)  # fmt: skip
def test_an_inquiry_of_the_bank_may_be_answered_by_a_refund(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch, status: str, refundable: bool
) -> None:
    monkeypatch.setattr(refunds, "refund_send", lambda refund: refund)
    invoice = make_invoice(tenant, payment_intent_id="pi_1")
    with platform_scope(reason="test"):
        dispute = {"invoice": invoice, "amount": 1000, "currency": "CNY", "stripe_id": "dp_1", "status": status}
        Dispute.objects.create(tenant=tenant, **dispute)

    with nullcontext() if refundable else pytest.raises(NotRefundable, match="disputed"):
        refund_create(invoice_id=invoice.pk, amount=1000, actor=SYSTEM, reason="x")


@pytest.mark.parametrize(("before", "now", "tax"), [(6, 9, 2_691), (0, 9, 2_691), (9, 0, 0)])
def test_a_new_tax_holds_for_invoices_from_now_on(
    world: World, tenant: Tenant, before: int, now: int, tax: int
) -> None:
    account = world.account(tenant, tax_percent=Decimal(before), tax_country="CN")
    world.subscribe(tenant, "starter")

    billing_account_set_terms(account_id=account.pk, actor=SYSTEM, tax_percent=Decimal(now))
    world.advance(RENEWAL)

    second = world.invoices(tenant)[1]
    assert (second.status, second.tax, second.hold_reason) == ("paid", tax, "")
    assert differences() == []


def test_a_failure_of_a_moment_at_stripe_does_not_hold_an_invoice_for_a_day(
    world: World, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.account(tenant)
    world.subscribe(tenant, "starter")
    with monkeypatch.context() as patch:
        patch.setattr(
            invoice_state, "finalize", lambda *_, **__: (_ for _ in ()).throw(refused("Not now.", "api_down"))
        )
        world.advance(RENEWAL)
    assert world.invoices(tenant)[1].status == "draft"

    world.now += timedelta(minutes=10)
    world.deliver()
    world.process()

    assert world.invoices(tenant)[1].status == "paid"


def test_a_line_that_stripe_refuses_is_named_by_reconcile(world: World, tenant: Tenant) -> None:
    with platform_scope(reason="test"):
        plan = plan_create(code="dear", name="Dear", actor=SYSTEM)
        components = [{"kind": "per_unit", "meter": "own:*", "unit_price": "1"}]
        price_version_publish(plan=plan, currency="CNY", actor=SYSTEM, components=components)
    world.account(tenant)
    world.subscribe(tenant, "dear")
    use(tenant, "own:stamps", 10**14, START + timedelta(days=1))

    world.advance(RENEWAL)

    assert any("is held: Stripe refuses a line" in line for line in differences())
    held = world.invoices(tenant)[1]
    client().v1.invoices.finalize_invoice(held.stripe_id)  # a person lets it go without the line
    world.now += timedelta(hours=1)
    world.deliver()
    assert (world.invoices(tenant)[1].status, world.invoices(tenant)[1].hold_reason) == ("paid", "")
    assert differences() == []


def test_m8_a_trial_is_given_once(world: World, tenant: Tenant) -> None:
    with platform_scope(reason="test"):
        plan = plan_create(code="tried", name="Tried", actor=SYSTEM)
        price_version_publish(plan=plan, currency="CNY", actor=SYSTEM, recurring_amount=100, trial_days=14)
    world.account(tenant)
    first = world.subscribe(tenant, "tried")
    client().v1.subscriptions.cancel(first.stripe_id)
    world.deliver()
    world.advance(START + timedelta(days=1))

    second = world.subscribe(tenant, "tried")

    assert (first.status, second.status) == ("trialing", "active")
    assert [invoice.total for invoice in world.invoices(tenant)] == [0, 100]


def test_of_two_checkouts_side_by_side_only_the_later_can_be_paid(world: World, tenant: Tenant) -> None:
    account = world.account(tenant)
    with platform_scope(reason="test"):
        neighbour = make_tenant("Neighbour")
        TenantBilling.objects.create(tenant=neighbour, billing_account=account)  # as a reseller's two customers
    first, others, again = (
        as_tenant(world, one, checkout_session_create, plan="starter", actor=SYSTEM, by_payer=True)
        for one in (tenant, neighbour, tenant)
    )

    with pytest.raises(httpx.HTTPStatusError):
        world.server.pay(first.id)
    world.server.pay(others.id)
    world.server.pay(again.id)
    world.deliver()

    with platform_scope(reason="test"):
        assert sorted(Subscription.objects.values_list("tenant_id", flat=True)) == sorted([tenant.pk, neighbour.pk])


def test_buying_and_changing_through_the_doors(world: World, tenant: Tenant, api: ApiClient) -> None:
    world.account(tenant)
    with clock.frozen(world.now):
        answer = api.post("/v1/checkout-sessions", {"plan": "starter"}, key="one")
        again = api.post("/v1/checkout-sessions", {"plan": "starter"}, key="one")
    assert (answer.status_code, again.json()) == (201, answer.json())
    assert again["Idempotent-Replayed"] == "true"
    world.server.pay(answer.json()["id"])
    world.deliver()
    with clock.frozen(world.now):
        shown = api.get("/v1/subscription").json()["subscription"]
        assert (shown["plan"], shown["status"]) == ("starter", "active")
        assert api.post("/v1/checkout-sessions", {"plan": "pro"}).json()["code"] == "already_subscribed"

        preview = api.patch("/v1/subscription", {"plan": "pro", "preview": True}).json()
        assert preview["preview"]["charge"] == {"amount": 70_000, "currency": "CNY"}
        assert preview["subscription"]["plan"] == "starter"
        assert api.patch("/v1/subscription", {"plan": "pro"}).json()["subscription"]["plan"] == "pro"
        assert api.patch("/v1/subscription", {"plan": "studio"}).status_code == 409  # another calendar
        ends = api.patch("/v1/subscription", {"cancel_at_period_end": True}).json()["subscription"]
        assert ends["cancel_at_period_end"] is True
        stays = api.patch("/v1/subscription", {"cancel_at_period_end": False}).json()["subscription"]
        assert stays["cancel_at_period_end"] is False
        portal = api.post("/v1/billing-portal-sessions", {})
        assert (portal.status_code, portal.json()["url"].startswith("http")) == (201, True)
    assert len(api.get("/v1/invoices").json()["data"]) == 1


def test_when_stripe_is_out_of_reach_the_door_says_so_and_nothing_changed(
    tenant: Tenant, api: ApiClient, world: World, settings: object
) -> None:
    make_billing(tenant)
    settings.STRIPE_API_BASE = "http://127.0.0.1:9"

    answer = api.post("/v1/checkout-sessions", {"plan": "starter"})

    assert (answer.status_code, answer.json()["code"]) == (502, PaymentServiceFailed.code)
    with platform_scope(reason="test"):
        assert not Subscription.objects.exists()
