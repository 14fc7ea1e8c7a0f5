"""MRR and lifetime value, from subscriptions as billing mirrors them."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from accounts.models import Tenant, User
from billing.models import BillingAccount, PriceVersion, Subscription, SubscriptionPhase
from billing.services.catalogue import catalogue_seed
from channels_partners.commission import add_months
from channels_partners.reports import mrr
from millrace.kernel import clock, outbox
from millrace.kernel.tenancy import platform_scope
from tests.billing.factories import make_subscription
from tests.factories import logged_in, make_tenant

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 7, 15, tzinfo=UTC)
FEE = 29_900


def subscriber(plan: str = "starter", *, since: datetime, name: str = "Acme", **fields: Any) -> Subscription:
    """A customer and its subscription, begun at `since`."""
    with clock.frozen(since):
        made = make_subscription(make_tenant(name=name), plan, start=since, **fields)
        outbox.drain()
    return made


def at(moment: datetime) -> dict[str, list[int]]:
    with platform_scope(reason="test"):
        return {currency: sorted(fees.values()) for currency, fees in mrr.mrr_at(moment).items()}


def rows(staff: User, name: str, **query: str) -> list[dict]:
    with clock.frozen(NOW):
        return logged_in(staff).get(f"/v1/ops/reports/{name}", query).json()["rows"]


def ends(subscription: Subscription, moment: datetime) -> None:
    with platform_scope(reason="test"):
        Subscription.objects.filter(pk=subscription.pk).update(ended_at=moment, status="canceled")


def test_active_and_past_due_count_from_their_first_day_to_their_last() -> None:
    first = subscriber(since=NOW - timedelta(days=20))
    subscriber(since=NOW - timedelta(days=10), status="past_due")
    ends(first, NOW - timedelta(days=5))

    assert at(NOW - timedelta(days=21)) == {}
    assert at(NOW - timedelta(days=6)) == {"CNY": [FEE, FEE]}
    assert at(NOW) == {"CNY": [FEE]}


@pytest.mark.parametrize("status", ["incomplete", "incomplete_expired", "unpaid", "paused"])
def test_subscriptions_that_bring_nothing_do_not_count(status: str) -> None:
    subscriber(since=NOW - timedelta(days=20), status=status)

    assert at(NOW) == {}


def test_a_trial_counts_from_its_end() -> None:
    subscriber(since=NOW - timedelta(days=20), trial_end=NOW - timedelta(days=6), status="active")

    assert at(NOW - timedelta(days=7)) == {}
    assert at(NOW) == {"CNY": [FEE]}


def test_a_price_counts_from_its_phase_on_and_a_rebate_lowers_it() -> None:
    subscription = subscriber(since=NOW - timedelta(days=20))
    team: PriceVersion = catalogue_seed()["pro"]
    with platform_scope(reason="test"):
        SubscriptionPhase.objects.create(
            tenant=subscription.tenant, subscription=subscription, price_version=team, starts_at=NOW - timedelta(days=2)
        )
        Subscription.objects.filter(pk=subscription.pk).update(price_version=team)

    assert at(NOW - timedelta(days=3)) == {"CNY": [FEE]}
    assert at(NOW) == {"CNY": [team.recurring_amount]}
    with platform_scope(reason="test"):
        BillingAccount.objects.update(discount_percent=Decimal("15"))
    assert at(NOW) == {"CNY": [round(team.recurring_amount * 85 / 100)]}


def test_the_bridge_of_a_month_adds_up_and_drills_to_subscriptions(staff: User) -> None:
    start = NOW.replace(day=1)
    leaver = subscriber(since=start - timedelta(days=40), name="Leaver")
    subscriber(since=start - timedelta(days=40), name="Stayer")
    returner = subscriber(since=start - timedelta(days=90), name="Returner")
    ends(returner, start - timedelta(days=60))
    ends(leaver, start + timedelta(days=3))
    subscriber(since=start + timedelta(days=4), name="Newcomer")
    with platform_scope(reason="test"):
        tenant = Tenant.objects.get(pk=returner.tenant_id)
    make_subscription(tenant, start=start + timedelta(days=5))

    (row,) = rows(staff, "mrr", by="total")

    assert (row["start"], row["new"], row["reactivation"], row["churn"]) == (2 * FEE, FEE, FEE, FEE)
    assert (
        row["mrr"]
        == row["start"] + row["new"] + row["reactivation"] + row["expansion"] - row["contraction"] - row["churn"]
    )
    assert (row["subscribers"], row["arpa"]) == (3, f"{FEE}.000000")
    drilled = logged_in(staff).get(row["drill"]).json()["data"]
    assert sorted(one["name"] for one in drilled) == ["Newcomer", "Returner", "Stayer"]
    assert sum(one["mrr"] for one in drilled) == row["mrr"]


def test_ltv_is_arpa_over_the_last_six_whole_months_churn(staff: User) -> None:
    month = NOW.replace(day=1)
    customers = [subscriber(since=add_months(month, -8), name=f"C{number}") for number in range(4)]
    assert rows(staff, "ltv", by="total")[0]["ltv"] is None  # nobody has left yet
    ends(customers[0], add_months(month, -3) + timedelta(days=1))
    ends(customers[1], month + timedelta(days=1))  # this month is not counted

    (row,) = rows(staff, "ltv", by="total")

    churn = Decimal("0.25") / 6
    assert (row["subscribers"], row["arpa"]) == (2, f"{FEE}.000000")
    assert Decimal(row["churn"]) == churn.quantize(Decimal("0.000001"))
    assert Decimal(row["ltv"]) == FEE / Decimal("0.25") * 6
