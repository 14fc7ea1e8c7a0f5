"""Models: versions, figures, confusions, promotion, and the pad."""

import pytest
from django.test import Client

from accounts.models import Tenant, User
from millrace.kernel.tenancy import tenant_scope
from mlops.models import Model
from tests import factories
from tests.portal.html import faults_of
from tests.portal.makers import make_model_version


@pytest.fixture
def browser(alice: User) -> Client:
    """Alice's."""
    return factories.logged_in(alice)


def test_model_page_is_sound_and_shows_its_figures(browser: Client, tenant: Tenant) -> None:
    version = make_model_version(tenant)

    response = browser.get(f"/models/{version.model.public_id}/")

    html = response.content.decode()
    assert faults_of(html) == []
    assert "90.0" in html
    assert '<td class="miss">3</td>' in html
    assert "data-pad" in html
    assert "/static/portal/draw.js" in html
    assert f'href="/jobs/{version.job.public_id}/"' in html


def test_list_shows_the_champion(browser: Client, tenant: Tenant) -> None:
    version = make_model_version(tenant)

    html = browser.get("/models/").content.decode()

    assert faults_of(html) == []
    assert version.model.name in html
    assert faults_of(browser.get("/").content.decode()) == []


def test_challenger_is_promoted_by_its_button(browser: Client, tenant: Tenant) -> None:
    first = make_model_version(tenant)
    second = make_model_version(tenant)
    address = f"/models/{first.model.public_id}/"

    page = browser.get(f"{address}?version=2").content.decode()
    browser.post(f"{address}promote", {"version": "2"})

    assert "Promote version 2" in page
    assert "a challenger" in page
    assert "data-pad" not in page  # the pad asks the champion
    assert faults_of(page) == []
    with tenant_scope(tenant.pk):
        assert Model.objects.get().champion_id == second.pk


@pytest.mark.parametrize("number", ["9", "x", "", "-1"])
def test_promoting_what_there_is_not_changes_nothing(browser: Client, tenant: Tenant, number: str) -> None:
    version = make_model_version(tenant)

    response = browser.post(f"/models/{version.model.public_id}/promote", {"version": number})

    assert response.status_code == 404
    with tenant_scope(tenant.pk):
        assert Model.objects.get().champion_id == version.pk


def test_viewer_gets_no_promote_button(tenant: Tenant) -> None:
    make_model_version(tenant)
    version = make_model_version(tenant)
    viewer = factories.logged_in(factories.make_member(tenant, role="viewer"))

    page = viewer.get(f"/models/{version.model.public_id}/?version=2").content.decode()

    assert "Promote" not in page
    assert viewer.post(f"/models/{version.model.public_id}/promote", {"version": "2"}).status_code == 403
