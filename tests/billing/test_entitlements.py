"""Plan, quota and spend limit: refused with a code, and nothing held; the last of a limit goes to one only."""

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import Tenant
from accounts.services.tenants import tenant_set_state
from billing import selectors
from billing.errors import CurrencyMismatch, FeatureNotInPlan, QuotaExceeded, SpendLimitReached, TenantNotServed
from billing.models import Plan, Reservation, TenantBilling
from billing.services.accounts import spend_limit_set
from billing.services.catalogue import catalogue_seed
from billing.services.entitlements import check, spend_release, spend_reserve
from billing.services.usage import usage_record
from millrace.kernel import clock
from millrace.kernel.errors import Conflict
from millrace.kernel.money import Money
from millrace.kernel.tenancy import tenant_scope
from tests.billing.factories import make_billing, make_subscription
from tests.factories import SYSTEM
from tests.threads import in_threads


@pytest.fixture(autouse=True)
def _scope(tenant: Tenant) -> Iterator[None]:
    catalogue_seed()
    make_billing(tenant)
    with tenant_scope(tenant.pk):
        yield


def reserve(tenant: Tenant, amount: int, key: str, **fields: object) -> Reservation:
    terms = {"currency": "CNY", "expires_at": clock.now() + timedelta(hours=1)} | fields
    return spend_reserve(tenant_id=tenant.pk, amount=amount, key=key, **terms)


def limit(tenant: Tenant, amount: int) -> None:
    spend_limit_set(tenant_id=tenant.pk, limit=Money(amount, "CNY"), actor=SYSTEM)


def test_the_free_plan_has_its_features_and_no_others(tenant: Tenant) -> None:
    check(tenant_id=tenant.pk, feature="train")

    with pytest.raises(FeatureNotInPlan):
        check(tenant_id=tenant.pk, feature="gpu")


def test_a_subscription_opens_the_rest(tenant: Tenant) -> None:
    make_subscription(tenant, "pro")

    check(tenant_id=tenant.pk, feature="gpu", meter="gpu_ms:a100", quantity=10**9)


def test_the_free_quota_is_hard_and_counts_what_is_promised(tenant: Tenant) -> None:
    usage_record(tenant_id=tenant.pk, meter="predictions", quantity=600, occurred_at=clock.now(), key="a")
    reserve(tenant, 0, "job", meter="predictions", quantity=300)
    check(tenant_id=tenant.pk, meter="predictions", quantity=100)

    with pytest.raises(QuotaExceeded) as refused:
        check(tenant_id=tenant.pk, meter="predictions", quantity=101)

    assert refused.value.extra == {"meter": "predictions", "quota": 1000, "used": 900}
    with pytest.raises(QuotaExceeded):
        check(tenant_id=tenant.pk, meter="gpu_ms", quantity=1)


def test_the_meters_of_a_family_share_its_quota(tenant: Tenant) -> None:
    Plan.objects.filter(code="free").update(quotas={"gpu_ms": 100, "gpu_ms:big": 10})
    for meter, quantity in (("gpu_ms:a", 60), ("gpu_ms:big", 10)):
        usage_record(tenant_id=tenant.pk, meter=meter, quantity=quantity, occurred_at=clock.now(), key=meter)
    reserve(tenant, 0, "job", meter="gpu_ms:c", quantity=30)

    check(tenant_id=tenant.pk, meter="gpu_ms:b", quantity=10)
    with pytest.raises(QuotaExceeded):
        check(tenant_id=tenant.pk, meter="gpu_ms:b", quantity=11)
    with pytest.raises(QuotaExceeded):
        check(tenant_id=tenant.pk, meter="gpu_ms:big", quantity=1)

    assert selectors.entitlements(tenant.pk)["quotas"]["gpu_ms"] == {"quota": 100, "used": 60, "reserved": 30}


def test_where_nothing_bounds_usage_the_periods_events_are_not_summed_up(tenant: Tenant) -> None:
    make_subscription(tenant)

    with CaptureQueriesContext(connection) as asked:
        check(tenant_id=tenant.pk, feature="predict", meter="predictions")
        reserve(tenant, 100, "job", meter="gpu_ms", quantity=5)

    assert not [query for query in asked.captured_queries if "usageevent" in query["sql"]]


def test_a_suspended_tenant_is_not_served(tenant: Tenant) -> None:
    tenant_set_state(tenant_id=tenant.pk, state="suspended", actor=SYSTEM)

    with pytest.raises(TenantNotServed):
        check(tenant_id=tenant.pk)
    with pytest.raises(TenantNotServed):
        reserve(tenant, 1, "job")
    assert not Reservation.objects.exists()


def test_a_reservation_counts_against_the_limit_until_released(tenant: Tenant) -> None:
    make_subscription(tenant)
    limit(tenant, 1000)
    reserve(tenant, 700, "one")

    with pytest.raises(SpendLimitReached):
        reserve(tenant, 301, "two")

    assert list(Reservation.objects.values_list("key", flat=True)) == ["one"]
    assert spend_release(tenant_id=tenant.pk, key="one")
    assert not spend_release(tenant_id=tenant.pk, key="one")
    reserve(tenant, 1000, "two")


def test_usage_that_is_not_billed_counts_against_the_limit(tenant: Tenant) -> None:
    make_subscription(tenant)
    limit(tenant, 1000)
    usage_record(tenant_id=tenant.pk, meter="gpu_ms", quantity=1_200_000, occurred_at=clock.now(), key="a")  # 6.00

    with pytest.raises(SpendLimitReached):
        reserve(tenant, 401, "job")
    reserve(tenant, 400, "job")
    with pytest.raises(SpendLimitReached):
        check(tenant_id=tenant.pk, meter="gpu_ms", quantity=2000)


def test_the_same_key_sets_the_amount_anew(tenant: Tenant) -> None:
    limit(tenant, 1000)
    reserve(tenant, 900, "job")
    reserve(tenant, 1000, "job")

    assert Reservation.objects.get().amount == 1000
    spend_release(tenant_id=tenant.pk, key="job")
    with pytest.raises(Conflict):
        reserve(tenant, 1, "job")


def test_an_expired_reservation_holds_nothing(tenant: Tenant) -> None:
    limit(tenant, 1000)
    reserve(tenant, 1000, "lost", expires_at=clock.now() + timedelta(minutes=1))

    with clock.frozen(clock.now() + timedelta(minutes=2)):
        reserve(tenant, 1000, "next")


def test_another_currency_is_refused(tenant: Tenant) -> None:
    with pytest.raises(CurrencyMismatch):
        reserve(tenant, 1, "job", currency="USD")


def test_the_last_of_a_limit_goes_to_one_of_many(real_db: None, tenant: Tenant) -> None:
    limit(tenant, 1000)

    def run(number: int) -> str:
        with tenant_scope(tenant.pk):
            return reserve(tenant, 400, f"job{number}").key

    results = in_threads(8, run)

    assert sum(isinstance(result, str) for result in results) == 2, results
    assert sum(isinstance(result, SpendLimitReached) for result in results) == 6, results
    assert Reservation.objects.count() == 2


def test_prices_and_quotes_follow_the_plan(tenant: Tenant) -> None:
    assert selectors.unit_price(tenant.pk, "gpu_ms") == 0  # free: nothing to pay, nothing allowed
    make_subscription(tenant)

    assert selectors.unit_price(tenant.pk, "gpu_ms:a100") == Decimal("0.0005")
    assert selectors.quote(tenant.pk, "gpu_ms", 3_600_000) == Money(1800, "CNY")
    assert selectors.quote(tenant.pk, "predictions", 10_010) == Money(8, "CNY")  # 10,000 are included
    usage_record(tenant_id=tenant.pk, meter="predictions", quantity=10_000, occurred_at=clock.now(), key="a")
    assert selectors.quote(tenant.pk, "predictions", 10) == Money(8, "CNY")


def test_who_pays_is_decided_by_the_news_of_the_tenant() -> None:
    from millrace.kernel import outbox
    from millrace.kernel.tenancy import platform_scope
    from tests.factories import make_tenant

    with platform_scope(reason="test"):
        reseller = make_tenant("Reseller", kind="partner")
        customer = make_tenant("Customer", reseller_tenant_id=str(reseller.pk), reseller_discount_percent=20)
        outbox.drain()

        billing = TenantBilling.objects.get(tenant=customer)
        assert billing.billing_account.owner_tenant_id == reseller.pk
        assert billing.billing_account.discount_percent == 20
        assert not TenantBilling.objects.filter(tenant=reseller).exists()
