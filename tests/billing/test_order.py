"""What an invoice owes does not depend on when, or in which order, the news of its subscription comes."""

from datetime import UTC, datetime, timedelta

import pytest

from accounts.models import Tenant
from billing.models import InvoiceLine
from billing.services import subscriptions
from billing.services.catalogue import plan_create, price_version_publish
from billing.stripe.client import client
from millrace.kernel.tenancy import platform_scope
from tests.billing.stripe_world import World
from tests.billing.test_cycles import as_tenant, differences, lines, price
from tests.billing.test_flow import RENEWAL, START, use
from tests.factories import SYSTEM

_GPU = {"kind": "per_unit", "meter": "gpu_ms", "unit_price": "0.0005", "included": 3_100_000}
_SUPPORT = {"kind": "flat", "name": "Support", "amount": 28_000}


def publish(*components: dict, minimum: int = 0) -> None:
    with platform_scope(reason="test"):
        plan = plan_create(code="commit", name="Commit", actor=SYSTEM)
        price_version_publish(
            plan=plan, currency="CNY", actor=SYSTEM, minimum_commitment=minimum, components=list(components)
        )


def owed(world: World, tenant: Tenant) -> list[dict[str, int]]:
    """The lines of the paid invoices of periods, in the order of these."""
    assert world.unhandled() == []
    assert differences() == []
    found = [one for one in world.invoices(tenant) if one.billing_reason != "subscription_create"]
    assert {one.status for one in found} == {"paid"}
    return [{name: amount for name, amount in lines(one).items() if amount} for one in found]


def test_an_end_that_is_heard_of_before_the_periods_draft_owes_each_period_once(world: World, tenant: Tenant) -> None:
    publish(_GPU, minimum=31_000)
    world.account(tenant)
    subscription = world.subscribe(tenant, "commit")
    use(tenant, "gpu_ms", 3_200_000, START + timedelta(days=1))
    world.advance(RENEWAL, deliver=False)  # a minute into the second period
    client().v1.subscriptions.cancel(subscription.stripe_id)

    world.deliver()

    assert owed(world, tenant) == [{"gpu_ms": 50, "true_up": 31_000 - 50}, {"true_up": 1}]


def test_a_period_that_went_out_without_us_is_whole_beside_the_part_that_an_end_owes(
    world: World, tenant: Tenant
) -> None:
    publish(_GPU, minimum=28_000)
    world.account(tenant)
    subscription = world.subscribe(tenant, "commit")
    use(tenant, "gpu_ms", 3_200_000, START + timedelta(days=1))
    world.advance(RENEWAL + timedelta(hours=3))  # our door was closed
    world.advance(datetime(2026, 2, 20, 9, tzinfo=UTC))
    client().v1.subscriptions.cancel(subscription.stripe_id)

    world.deliver()

    # The whole first month with its allowance, then 10 of 28 days.
    assert owed(world, tenant) == [{}, {"gpu_ms": 50, "true_up": 28_000 - 50 + 10_000}]


@pytest.mark.parametrize("backwards", [False, True])
def test_m16_a_period_that_went_out_without_us_may_be_heard_of_after_the_next(
    world: World, tenant: Tenant, backwards: bool
) -> None:
    world.account(tenant)
    world.subscribe(tenant, "studio")
    use(tenant, "gpu_ms", 3_600_000, START + timedelta(minutes=5))
    world.advance(datetime(2026, 1, 28, 3, tzinfo=UTC), deliver=False)
    world.advance(datetime(2026, 2, 28, 0, 1, tzinfo=UTC), deliver=False)

    for event in sorted(world.fresh_events(), key=lambda event: event["created"], reverse=backwards):
        world.post(event)
        world.process()
    world.deliver()

    assert owed(world, tenant) == [{}, {"gpu_ms": 1_800, "true_up": 148_200 + 150_000}]


def test_a_change_of_plan_that_we_did_not_live_to_write_down_is_what_the_period_is_rated_by(
    world: World, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.account(tenant)
    world.subscribe(tenant, "starter")
    world.advance(START + timedelta(days=15, hours=12))  # half of 31 days
    real = subscriptions.changes.price_change
    with monkeypatch.context() as patch, pytest.raises(ZeroDivisionError):
        patch.setattr(subscriptions.changes, "price_change", lambda *args, **kwargs: (real(*args, **kwargs), 1 / 0))
        as_tenant(world, tenant, subscriptions.subscription_change, price_id=price("pro").pk, actor=SYSTEM)
    use(tenant, "predictions", 100_000, world.now + timedelta(days=1))
    world.advance(RENEWAL, deliver=False)

    for event in reversed(world.fresh_events()):
        world.post(event)
        world.process()
    world.deliver()

    assert owed(world, tenant) == [{"predictions": 25_000, "proration": 35_000, "subscription": 99_900}]


def test_two_changes_within_a_second_come_one_after_the_other(world: World, tenant: Tenant) -> None:
    with platform_scope(reason="test"):
        plan = plan_create(code="big", name="Big", actor=SYSTEM, rank=9)
        big = price_version_publish(plan=plan, currency="CNY", actor=SYSTEM, recurring_amount=199_900)
    world.account(tenant)
    world.subscribe(tenant, "starter")
    world.advance(START + timedelta(days=15, hours=12))  # half of 31 days
    for wanted in (price("pro"), big):
        as_tenant(world, tenant, subscriptions.subscription_change, price_id=wanted.pk, actor=SYSTEM)
    use(tenant, "predictions", 100_000, world.now + timedelta(days=1))

    world.advance(RENEWAL)

    assert owed(world, tenant) == [{"proration": 85_000, "subscription": 199_900}]  # big has no price for predictions


def test_a_change_at_a_renewal_that_we_have_not_heard_of_waits_for_the_next(world: World, tenant: Tenant) -> None:
    world.account(tenant)
    world.subscribe(tenant, "pro")
    world.advance(RENEWAL, deliver=False)

    changed = as_tenant(world, tenant, subscriptions.subscription_change, price_id=price("starter").pk, actor=SYSTEM)
    world.deliver()

    assert (changed.price_version.plan.code, changed.next_price.plan.code) == ("pro", "starter")
    assert changed.next_price_at == datetime(2026, 3, 10, 9, tzinfo=UTC)
    assert owed(world, tenant) == [{"subscription": 99_900}]


def test_what_a_plan_owes_in_arrears_whatever_is_used_is_owed_at_the_end_too(world: World, tenant: Tenant) -> None:
    publish(_SUPPORT)
    world.account(tenant)
    subscription = world.subscribe(tenant, "commit")
    world.advance(RENEWAL)
    world.advance(datetime(2026, 2, 17, 9, tzinfo=UTC))

    client().v1.subscriptions.cancel(subscription.stripe_id)
    world.deliver()

    assert owed(world, tenant) == [{"flat": 28_000}, {"flat": 7_000}]
    with platform_scope(reason="test"):
        assert InvoiceLine.objects.filter(kind="flat").count() == 2


def test_news_of_an_end_told_again_after_late_usage_makes_no_second_last_invoice(world: World, tenant: Tenant) -> None:
    world.account(tenant)
    subscription = world.subscribe(tenant, "starter")
    use(tenant, "gpu_ms", 3_600_000, START + timedelta(days=1))
    world.advance(START + timedelta(days=2))
    client().v1.subscriptions.cancel(subscription.stripe_id)
    world.deliver()
    use(tenant, "gpu_ms", 7_200_000, START + timedelta(days=1), key="late", recorded=world.now + timedelta(hours=1))
    client().v1.subscriptions.update(subscription.stripe_id, {"metadata": {"note": "left"}})

    world.deliver()

    assert owed(world, tenant) == [{"gpu_ms": 1_800}]
