"""Buying, changing and ending a plan through the payment service's pages, and the invoices that follow."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.test import Client

from accounts.models import Tenant, User
from billing.models import Subscription
from billing.services.catalogue import catalogue_seed
from millrace.kernel import clock
from millrace.kernel.tenancy import tenant_scope
from tests import factories
from tests.billing.stripe_world import World, stripe_world
from tests.portal.html import faults_of
from tests.portal.makers import make_invoice


@pytest.fixture
def world(database: None) -> Iterator[World]:
    """Stripe, with the example catalogue for sale."""
    catalogue_seed()
    with stripe_world() as made:
        yield made


@pytest.fixture
def browser(alice: User) -> Client:
    """Alice's."""
    return factories.logged_in(alice)


def test_subscribing_leads_to_checkout_and_back_to_the_plan(world: World, browser: Client, tenant: Tenant) -> None:
    world.account(tenant)
    with clock.frozen(world.now):
        page = browser.get("/billing/").content.decode()
        answer = browser.post("/billing/subscribe", {"plan": "starter"})

        assert "Subscribe to Starter" in page
        assert answer.status_code == 302
        assert "cs_test_" in answer["Location"]
        world.subscribe(tenant, "starter")
        after = browser.get("/billing/?checkout=done").content.decode()
        invoices = browser.get("/invoices/").content.decode()

    assert "<h1>Starter</h1>" in after
    assert "End Starter" in after
    assert faults_of(after) == []
    assert "299.00" in invoices
    assert "paid" in invoices


def test_change_is_shown_before_it_is_done(world: World, browser: Client, tenant: Tenant) -> None:
    world.account(tenant)
    world.subscribe(tenant, "starter")
    with clock.frozen(world.now + timedelta(days=1)):
        plans = browser.get("/billing/").content.decode()
        price = plans.split("Change to Pro")[0].rsplit('value="', 1)[1].split('"')[0]

        preview = browser.post("/billing/change", {"price": price})
        with tenant_scope(tenant.pk):
            assert Subscription.objects.get().price_version.plan.code == "starter"
        browser.post("/billing/change", {"price": price, "confirmed": "1"})

    assert "Change to Pro?" in preview.content.decode()
    assert faults_of(preview.content.decode()) == []
    with tenant_scope(tenant.pk):
        assert Subscription.objects.get().price_version.plan.code == "pro"


def test_ending_can_be_taken_back(world: World, browser: Client, tenant: Tenant) -> None:
    world.account(tenant)
    world.subscribe(tenant, "starter")

    browser.post("/billing/cancel")
    with tenant_scope(tenant.pk):
        assert Subscription.objects.get().cancel_at_period_end
    browser.post("/billing/cancel", {"keep": "1"})

    with tenant_scope(tenant.pk):
        assert not Subscription.objects.get().cancel_at_period_end


@pytest.mark.parametrize("plan", ["", "free", "gold"])
def test_plan_that_is_not_for_sale_is_refused(world: World, browser: Client, tenant: Tenant, plan: str) -> None:
    world.account(tenant)

    response = browser.post("/billing/subscribe", {"plan": plan})

    assert response.status_code == 404
    assert faults_of(response.content.decode()) == []


def test_invoice_leads_to_its_lines_and_events(browser: Client, tenant: Tenant) -> None:
    invoice, line = make_invoice(tenant)
    listed = browser.get("/invoices/")
    shown = browser.get(f"/invoices/{invoice.public_id}/")
    behind = browser.get(f"/invoices/{invoice.public_id}/lines/{line.public_id}/")

    for response in (listed, shown, behind):
        assert response.status_code == 200
        assert faults_of(response.content.decode()) == []
        assert 'class="door"' in response.content.decode()
    assert f"/lines/{line.public_id}/" in shown.content.decode()
    assert "412,870" in behind.content.decode()
    assert 'href="/jobs/job_' in behind.content.decode()


def test_line_of_another_invoice_is_not_found(browser: Client, tenant: Tenant) -> None:
    invoice, _ = make_invoice(tenant)
    _, other = make_invoice(factories.make_tenant(name="Elsewhere"))

    assert browser.get(f"/invoices/{invoice.public_id}/lines/{other.public_id}/").status_code == 404
