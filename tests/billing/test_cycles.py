"""Periods: calendars, minimums, late usage, cancellation, changes of plan, tax, resellers, and drafts that differ."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from accounts.models import Tenant, TenantState
from accounts.services.tenants import tenant_set_state
from billing import selectors
from billing.models import Invoice, InvoiceLine, Subscription, UsageEvent
from billing.services.accounts import billing_account_set_terms
from billing.services.catalogue import plan_create, price_version_publish
from billing.services.rating import invoice_rate
from billing.services.subscriptions import subscription_cancel, subscription_change, subscription_preview
from billing.stripe import invoicing, subscriptions
from billing.stripe.client import client
from millrace.kernel import clock, reconcile
from millrace.kernel.audit import Actor
from millrace.kernel.tenancy import platform_scope, tenant_scope
from tests.billing.factories import make_billing, make_subscription
from tests.billing.stripe_world import World
from tests.billing.test_flow import RENEWAL, START, balances, use
from tests.factories import SYSTEM, make_tenant

MARCH = datetime(2026, 3, 10, 9, 1, tzinfo=UTC)


def lines(invoice: Invoice) -> dict[str, int]:
    with platform_scope(reason="test"):
        found: dict[str, int] = {}
        for line in InvoiceLine.objects.filter(invoice=invoice):
            found[line.meter or line.kind] = found.get(line.meter or line.kind, 0) + line.net
        return found


def differences() -> list[str]:
    return [line for check in reconcile.run_checks(["R2", "R3", "R4"]) for line in check.differences]


def price(plan: str) -> object:
    return selectors.plan_price(plan, "CNY")


def as_tenant(world: World, tenant: Tenant, act: object, **kwargs: object) -> object:
    with clock.frozen(world.now), tenant_scope(tenant.pk):
        return act(tenant_id=tenant.pk, **kwargs)


def test_a_calendar_plan_charges_usage_from_day_one_and_its_minimum_at_the_anchor(world: World, tenant: Tenant) -> None:
    world.account(tenant)
    subscription = world.subscribe(tenant, "studio")
    assert subscription.current_period_end == datetime(2026, 1, 28, tzinfo=UTC)
    use(tenant, "gpu_ms", 3_600_000, START + timedelta(minutes=5))

    world.advance(datetime(2026, 1, 28, 0, 1, tzinfo=UTC))

    (invoice,) = [one for one in world.invoices(tenant) if one.billing_reason == "subscription_cycle"]
    assert (invoice.status, invoice.total, invoice.period_start) == ("paid", 150_000, START)
    assert lines(invoice) == {"gpu_ms": 1_800, "true_up": 148_200, "subscription": 0}
    assert differences() == []


def test_m16_a_period_whose_invoice_went_out_without_us_is_charged_in_full_on_the_next(
    world: World, tenant: Tenant
) -> None:
    world.account(tenant)
    world.subscribe(tenant, "studio")
    use(tenant, "gpu_ms", 3_600_000, START + timedelta(minutes=5))
    world.advance(datetime(2026, 1, 28, 3, tzinfo=UTC))  # our door was closed: Stripe finalised it after an hour
    use(tenant, "gpu_ms", 7_200_000, datetime(2026, 2, 3, tzinfo=UTC))

    world.advance(datetime(2026, 2, 28, 0, 1, tzinfo=UTC))

    january, february = [one for one in world.invoices(tenant) if one.billing_reason == "subscription_cycle"]
    assert lines(january) == {"subscription": 0}
    assert lines(february) == {"subscription": 0, "gpu_ms": 1_800 + 3_600, "true_up": 148_200 + 146_400}
    with platform_scope(reason="test"):
        starts = february.lines.filter(kind="true_up").order_by("period_start").values_list("period_start", flat=True)
        assert list(starts) == [START, january.period_end]
    assert differences() == []


def test_usage_before_the_subscription_is_free_and_stays_so(world: World, tenant: Tenant) -> None:
    world.account(tenant)
    use(tenant, "cpu_ms", 1_000_000, START - timedelta(days=1))
    world.subscribe(tenant, "starter")
    world.advance(RENEWAL)

    assert lines(world.invoices(tenant)[1]) == {"subscription": 29_900}
    assert differences() == []


def test_late_usage_goes_onto_the_next_invoice(world: World, tenant: Tenant) -> None:
    world.account(tenant)
    world.subscribe(tenant, "starter")
    use(tenant, "gpu_ms", 3_600_000, START + timedelta(days=3))
    world.advance(RENEWAL)
    use(tenant, "gpu_ms", 7_200_000, START + timedelta(days=4), key="late", recorded=RENEWAL + timedelta(days=1))
    use(tenant, "gpu_ms", 3_600_000, RENEWAL + timedelta(days=4), key="in time")

    world.advance(MARCH)

    _, second, third = world.invoices(tenant)
    assert (lines(second)["gpu_ms"], lines(third)["gpu_ms"]) == (1_800, 5_400)
    with platform_scope(reason="test"):
        assert InvoiceLine.objects.get(invoice=third, meter="gpu_ms").detail["carried"] == 7_200_000
    assert differences() == []


def test_m5_the_cancellation_days_usage_is_billed(world: World, tenant: Tenant) -> None:
    world.account(tenant)
    world.subscribe(tenant, "starter")
    as_tenant(world, tenant, subscription_cancel, actor=SYSTEM)
    use(tenant, "gpu_ms", 3_600_000, datetime(2026, 2, 10, 8, 59, 59, tzinfo=UTC))

    world.advance(RENEWAL)

    assert world.unhandled() == []
    last = world.invoices(tenant)[-1]
    assert (last.status, last.billing_reason, lines(last)) == ("paid", "manual", {"gpu_ms": 1_800})
    with platform_scope(reason="test"):
        assert Subscription.objects.get().status == "canceled"
        assert Tenant.objects.get(pk=tenant.pk).state == TenantState.ACTIVE
    world.deliver()
    assert len(world.invoices(tenant)) == 2
    assert differences() == []


def test_an_early_end_owes_its_share_of_the_minimum(world: World, tenant: Tenant) -> None:
    with platform_scope(reason="test"):
        plan = plan_create(code="commit", name="Commit", actor=SYSTEM)
        components = [{"kind": "per_unit", "meter": "gpu_ms", "unit_price": "0.0005", "included": 3_100_000}]
        price_version_publish(plan=plan, currency="CNY", actor=SYSTEM, minimum_commitment=31_000, components=components)
    world.account(tenant)
    subscription = world.subscribe(tenant, "commit")
    use(tenant, "gpu_ms", 2_010_000, START + timedelta(days=1))
    world.advance(START + timedelta(days=20))

    client().v1.subscriptions.cancel(subscription.stripe_id)
    world.deliver()

    last = world.invoices(tenant)[-1]
    assert lines(last) == {"gpu_ms": 5, "true_up": 20_000 - 5}  # 20 of 31 days; 2,000,000 included
    assert differences() == []


def test_m7_a_change_of_plan_charges_no_usage_twice(world: World, tenant: Tenant) -> None:
    world.account(tenant)
    world.subscribe(tenant, "starter")
    use(tenant, "predictions", 100_000, START + timedelta(days=2), key="before")
    world.advance(START + timedelta(days=15, hours=12))  # half of 31 days
    preview = as_tenant(world, tenant, subscription_preview, price_id=price("pro").pk)
    assert (preview.is_upgrade, preview.charge.amount) == (True, 35_000)  # half of 999.00 − 299.00

    as_tenant(world, tenant, subscription_change, price_id=price("pro").pk, actor=SYSTEM)
    world.deliver()
    use(tenant, "predictions", 100_000, world.now + timedelta(days=1), key="after")
    world.advance(RENEWAL)

    assert world.unhandled() == []
    _, second = world.invoices(tenant)  # the proration made no invoice of its own (M14)
    with platform_scope(reason="test"):
        usage = InvoiceLine.objects.filter(invoice=second, meter="predictions").order_by("period_start")
        # Half of 10,000 are included at 0.8 fen, then half of 100,000 at 0.5 fen.
        assert [(line.quantity, line.amount) for line in usage] == [(100_000, 76_000), (100_000, 25_000)]
    assert lines(second)["proration"] == 35_000
    assert lines(second)["subscription"] == 99_900
    assert differences() == []


def test_m8_a_cheaper_plan_waits_for_the_period_and_credits_nothing(world: World, tenant: Tenant) -> None:
    world.account(tenant)
    world.subscribe(tenant, "pro")
    world.advance(START + timedelta(days=5))
    changed = as_tenant(world, tenant, subscription_change, price_id=price("starter").pk, actor=SYSTEM)
    assert (changed.price_version.plan.code, changed.next_price.plan.code) == ("pro", "starter")
    for plan in ("pro", "starter", "pro", "starter"):  # to and fro
        as_tenant(world, tenant, subscription_change, price_id=price(plan).pk, actor=SYSTEM)
        world.deliver()
    use(tenant, "predictions", 100_000, world.now + timedelta(days=1))
    world.advance(RENEWAL)

    _, second = world.invoices(tenant)
    assert lines(second) == {"predictions": 0, "subscription": 29_900}  # all of pro's were included
    with platform_scope(reason="test"):
        assert Subscription.objects.get().price_version.plan.code == "starter"
    use(tenant, "predictions", 100_000, world.now + timedelta(days=1), key="cheaper plan")
    world.advance(MARCH)
    assert lines(world.invoices(tenant)[2])["predictions"] == 72_000
    assert differences() == []


def test_an_upgrade_behind_a_waiting_downgrade_is_reckoned_from_what_was_paid(world: World, tenant: Tenant) -> None:
    with platform_scope(reason="test"):
        big = plan_create(code="big", name="Big", actor=SYSTEM, rank=9)
        dearest = price_version_publish(plan=big, currency="CNY", actor=SYSTEM, recurring_amount=199_900)
    world.account(tenant)
    world.subscribe(tenant, "pro")
    world.advance(START + timedelta(days=15, hours=12))
    as_tenant(world, tenant, subscription_change, price_id=price("starter").pk, actor=SYSTEM)

    as_tenant(world, tenant, subscription_change, price_id=dearest.pk, actor=SYSTEM)
    world.deliver()
    world.advance(RENEWAL)

    assert lines(world.invoices(tenant)[1]) == {"proration": 50_000, "subscription": 199_900}
    assert differences() == []


def test_m6_tax_is_rounded_once_an_invoice_and_posted(world: World, tenant: Tenant) -> None:
    world.account(tenant, tax_percent=Decimal("6.5"), tax_country="CN")
    world.subscribe(tenant, "starter")
    for number, milliseconds in enumerate((6_000, 10_000, 14_000)):  # lines of 3, 5 and 7 fen
        use(tenant, f"gpu_ms:c{number}", milliseconds, START + timedelta(days=1))
    world.advance(RENEWAL)

    first, second = world.invoices(tenant)
    assert (first.tax, first.total) == (1_944, 31_844)  # 1,943.5
    assert (second.subtotal, second.tax, second.hold_reason) == (29_915, 1_944, "")  # 1,944.475
    assert balances("tax:payable", "stripe:clearing") == [-3_888, first.total + second.total]
    assert differences() == []


def test_a_reseller_pays_wholesale_for_each_customer(world: World, tenant: Tenant) -> None:
    reseller, customer = make_tenant("Reseller", kind="partner"), make_tenant("Customer")
    account = make_billing(customer, reseller_tenant_id=reseller.pk, discount_percent=Decimal("33.3")).billing_account
    from millrace.kernel import outbox

    outbox.drain()
    billing_account_set_terms(account_id=account.pk, actor=SYSTEM, clock=world.clock)
    world.subscribe(customer, "starter", by_payer=True)
    use(customer, "gpu_ms", 3_600_000, START + timedelta(days=3))
    world.advance(RENEWAL)

    first, second = world.invoices(customer)
    assert first.total == 19_943  # 29,900 less a third or so, rounded once: 19,943.3
    assert lines(second) == {"subscription": 19_943, "gpu_ms": 1_201}  # 1,200.6
    assert (second.status, second.billing_account.owner_tenant_id) == ("paid", reseller.pk)
    assert differences() == []


def test_a_draft_that_differs_is_held_and_not_finalised(world: World, tenant: Tenant) -> None:
    world.account(tenant)
    subscription = world.subscribe(tenant, "starter")
    use(tenant, "gpu_ms", 3_600_000, START + timedelta(days=3))
    world.advance(RENEWAL, deliver=False)
    draft = client().v1.subscriptions.retrieve(subscription.stripe_id).latest_invoice
    stranger: dict = {"customer": subscription.billing_account.stripe_customer_id, "invoice": draft, "amount": 1}
    stranger |= {"currency": "cny", "metadata": {"line_id": "00000000-0000-0000-0000-000000000001"}}
    item = client().v1.invoice_items.create(stranger)
    world.deliver()

    held = world.invoices(tenant)[1]
    assert (held.status, "not expected" in held.hold_reason) == ("draft", True)
    assert any("is held" in line for line in differences())
    client().v1.invoice_items.delete(item.id)  # a person puts it right; the next look finishes it
    with platform_scope(reason="test"):
        invoicing.invoice_advance(held.stripe_id)
    world.deliver()
    assert (world.invoices(tenant)[1].status, world.invoices(tenant)[1].hold_reason) == ("paid", "")
    assert differences() == []


@pytest.mark.parametrize("step", ["rate", "push one", "push all", "finalise", "after"])
def test_m13_a_crash_between_any_two_steps_bills_once(
    world: World, tenant: Tenant, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    world.account(tenant)
    world.subscribe(tenant, "starter")
    for meter in ("gpu_ms", "gpu_ms:a", "gpu_ms:b"):
        use(tenant, meter, 3_600_000, START + timedelta(days=3))
    crash_at(step, monkeypatch)
    world.advance(RENEWAL)
    monkeypatch.undo()
    assert "crash" in " ".join(world.unhandled())

    world.now += timedelta(minutes=10)
    world.process()
    world.deliver()

    assert world.unhandled() == []
    _, second = world.invoices(tenant)
    assert (second.status, second.total, second.hold_reason) == ("paid", 29_900 + 3 * 1_800, "")
    assert differences() == []


def test_m16_a_draft_that_somebody_finalised_at_stripe_before_our_lines_moves_to_the_next(
    world: World, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.account(tenant)
    world.subscribe(tenant, "studio")
    use(tenant, "gpu_ms", 3_600_000, START + timedelta(minutes=5))
    crash_at("rate", monkeypatch)
    world.advance(datetime(2026, 1, 28, 0, 1, tzinfo=UTC))
    monkeypatch.undo()
    draft = next(one for one in world.invoices(tenant) if one.status == "draft")
    client().v1.invoices.finalize_invoice(draft.stripe_id)
    world.now += timedelta(minutes=10)
    world.deliver()
    assert differences() == []

    world.advance(datetime(2026, 2, 28, 0, 1, tzinfo=UTC))

    january, february = [one for one in world.invoices(tenant) if one.billing_reason == "subscription_cycle"]
    assert (january.status, lines(january)) == ("paid", {"subscription": 0})
    assert lines(february) == {"subscription": 0, "gpu_ms": 1_800, "true_up": 148_200 + 150_000}
    assert differences() == []


def crash_at(step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Break the flow once it has carried out the step, each time it gets there."""

    def dies(*_: object, **__: object) -> None:
        raise RuntimeError("crash")

    def then_die(real: object) -> object:
        def act(*args: object, **kwargs: object) -> None:
            real(*args, **kwargs)
            dies()

        return act

    if step == "rate":
        monkeypatch.setattr(invoicing, "invoice_rate", then_die(invoice_rate))
    elif step == "push one":
        real = invoicing._push
        monkeypatch.setattr(invoicing, "_push", lambda fetched, found: (real(fetched, found[:1]), dies()))
    elif step == "push all":
        monkeypatch.setattr(invoicing, "_push", then_die(invoicing._push))
    elif step == "finalise":
        monkeypatch.setattr(invoicing, "_finalize", dies)
    else:
        monkeypatch.setattr(invoicing, "_finalize", then_die(invoicing._finalize))


def test_a_failed_payment_makes_the_tenant_past_due_until_it_pays(world: World, tenant: Tenant) -> None:
    world.account(tenant)
    subscription = world.subscribe(tenant, "starter")
    broke: dict = {"default_payment_method": _card(subscription, "pm_card_chargeCustomerFail")}
    client().v1.subscriptions.update(subscription.stripe_id, broke)
    world.advance(RENEWAL)
    with platform_scope(reason="test"):
        assert Tenant.objects.get(pk=tenant.pk).state == TenantState.PAST_DUE
        assert Subscription.objects.get().status == "past_due"
    second = world.invoices(tenant)[1]
    assert (second.status, second.attempt_count) == ("open", 1)

    client().v1.invoices.pay(second.stripe_id, {"payment_method": _card(subscription, "pm_card_visa")})
    world.deliver()

    with platform_scope(reason="test"):
        assert Tenant.objects.get(pk=tenant.pk).state == TenantState.ACTIVE
    assert world.invoices(tenant)[1].status == "paid"
    assert differences() == []


@pytest.mark.parametrize(("by", "after"), [("reseller", TenantState.SUSPENDED), ("stripe", TenantState.ACTIVE)])
def test_a_payment_lifts_only_the_suspension_that_a_failed_one_made(tenant: Tenant, by: str, after: str) -> None:
    subscription = make_subscription(tenant, status="active")
    tenant_set_state(tenant_id=tenant.pk, state=TenantState.SUSPENDED, actor=Actor.system(by))

    with platform_scope(reason="test"):
        subscription.refresh_from_db()
        subscriptions._follow(subscription, "unpaid", {})
        assert Tenant.objects.get(pk=tenant.pk).state == after


def _card(subscription: Subscription, card: str) -> str:
    customer = subscription.billing_account.stripe_customer_id
    return client().v1.payment_methods.attach(card, {"customer": customer}).id


def test_a_thrown_away_draft_gives_its_usage_back(
    world: World, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.account(tenant)
    world.subscribe(tenant, "starter")
    as_tenant(world, tenant, subscription_cancel, actor=SYSTEM)
    use(tenant, "gpu_ms", 3_600_000, START + timedelta(days=3))
    monkeypatch.setattr(invoicing, "_finalize", lambda _: None)
    world.advance(RENEWAL)
    draft = world.invoices(tenant)[1]
    assert (draft.status, lines(draft)) == ("draft", {"gpu_ms": 1_800})

    client().v1.invoices.delete(draft.stripe_id)
    monkeypatch.undo()
    world.deliver()

    assert world.invoices(tenant)[1].status == "deleted"
    with platform_scope(reason="test"):
        assert UsageEvent.objects.get().invoice_line is None
    assert differences() == []
