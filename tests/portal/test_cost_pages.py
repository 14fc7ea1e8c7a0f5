"""Prices, usage, plan and spend limit."""

from decimal import Decimal

import pytest
from django.test import Client

from accounts.models import Tenant, User
from billing import pricing
from billing.models import BillingAccount, Plan, TenantBilling
from billing.portal.words import quantity_words
from billing.services.accounts import billing_account_ensure
from billing.services.catalogue import catalogue_seed, price_version_publish
from billing.services.usage import usage_record
from millrace.kernel import clock
from millrace.kernel.tenancy import platform_scope, tenant_scope
from tests import factories
from tests.billing.factories import make_subscription
from tests.portal.html import faults_of


@pytest.fixture
def browser(alice: User, tenant: Tenant) -> Client:
    """Alice's; her organisation has a billing account on the free plan."""
    catalogue_seed(currency="CNY")
    billing_account_ensure(tenant_id=tenant.pk, actor=factories.SYSTEM, currency="CNY")
    return factories.logged_in(alice)


def use(tenant: Tenant, meter: str, quantity: int) -> None:
    with tenant_scope(tenant.pk):
        usage_record(tenant_id=tenant.pk, meter=meter, quantity=quantity, occurred_at=clock.now(), key=f"k:{meter}")


@pytest.mark.parametrize("path", ["/pricing/", "/usage/", "/billing/"])
def test_page_is_sound(browser: Client, tenant: Tenant, path: str) -> None:
    use(tenant, "cpu_ms", 1_800_000)

    response = browser.get(path)

    assert response.status_code == 200
    assert faults_of(response.content.decode()) == []
    assert 'class="door"' in response.content.decode()


def test_prices_are_told_by_the_hour(browser: Client) -> None:
    html = Client().get("/pricing/").content.decode()

    assert "CNY 18.00" in html  # 0.0005 fen for a millisecond
    assert "CNY 8.00" in html  # 0.8 fen for a prediction, told for 1,000
    assert faults_of(html) == []


def test_pricing_without_a_catalogue_says_so(db: None) -> None:
    assert "No prices are published yet" in Client().get("/pricing/").content.decode()


@pytest.mark.parametrize(("meter", "quantity", "told"), [
    ("cpu_ms", 3_600_000, "1 hour"), ("gpu_ms:h100", 360_000, "6 minutes"), ("cpu_ms", 9_000_000, "2.5 hours"),
    ("predictions", 10_000, "10,000"),
])  # fmt: skip
def test_quantities_in_words(meter: str, quantity: int, told: str) -> None:
    assert quantity_words(meter, quantity) == told


def test_usage_page_shows_each_meter_and_its_days(browser: Client, tenant: Tenant) -> None:
    use(tenant, "gpu_ms:h100", 412_870)

    html = browser.get("/usage/").content.decode()

    assert "GPU time, h100" in html
    assert "412,870" in html
    assert "<svg" in html
    assert faults_of(html) == []


@pytest.mark.parametrize("query", ["from=yesterday", "from=2026-02-01&to=2026-01-01", "from=1000-01-01"])
def test_strange_days_are_refused_with_a_page(browser: Client, query: str) -> None:
    response = browser.get(f"/usage/?{query}")

    assert response.status_code == 422
    assert faults_of(response.content.decode()) == []


def test_usage_of_another_tenant_does_not_show(browser: Client, charlie: User) -> None:
    with_theirs = factories.logged_in(charlie)

    assert "No billing account" in with_theirs.get("/usage/").content.decode()


@pytest.mark.parametrize(("typed", "kept"), [("500", 50_000), ("1,234.50", 123_450), ("", None), ("0", 0)])
def test_spend_limit_is_set(browser: Client, tenant: Tenant, typed: str, kept: int | None) -> None:
    browser.post("/billing/spend-limit", {"limit": typed})

    with tenant_scope(tenant.pk):
        assert TenantBilling.objects.get().spend_limit == kept


@pytest.mark.parametrize("typed", ["-1", "much", "NaN", "1e40", "Infinity"])
def test_strange_limit_changes_nothing(browser: Client, tenant: Tenant, typed: str) -> None:
    browser.post("/billing/spend-limit", {"limit": "500"})

    response = browser.post("/billing/spend-limit", {"limit": typed}, follow=True)

    assert 'class="notice error"' in response.content.decode()
    with tenant_scope(tenant.pk):
        assert TenantBilling.objects.get().spend_limit == 50_000


def test_a_trial_is_offered_once_and_the_limit_to_who_pays(browser: Client, tenant: Tenant) -> None:
    starter = Plan.objects.get(code="starter")
    price_version_publish(plan=starter, currency="CNY", actor=factories.SYSTEM, recurring_amount=100, trial_days=14)
    before = browser.get("/billing/").content.decode()
    make_subscription(tenant, "starter", status="canceled", ended_at=clock.now())
    after = browser.get("/billing/").content.decode()
    with platform_scope(reason="test"):
        reseller = factories.make_tenant(name="Reseller", kind="partner")
        BillingAccount.objects.update(owner_tenant=reseller)
    resold = browser.get("/billing/").content.decode()

    assert ["14 days free" in page for page in (before, after)] == [True, False]
    assert ["Set the limit" in page for page in (after, resold)] == [True, False]


def test_overview_shows_the_cost_so_far(browser: Client, tenant: Tenant) -> None:
    use(tenant, "predictions", 7)

    html = browser.get("/").content.decode()

    assert "Cost of usage so far" in html
    assert faults_of(html) == []


def test_the_front_page_example_is_right() -> None:
    component = pricing.PerUnit("gpu_ms", Decimal("0.04"))

    line = pricing.rate([component], {"gpu_ms": 412_870})[0]

    assert line.amount == 16_515
    assert line.amount * Decimal("0.20") == 3303
