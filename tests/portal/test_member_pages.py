"""What members see of their own organisation."""

import pytest
from django.test import Client

from accounts.models import ApiKey, Invitation, Membership, Tenant, User
from millrace.kernel.tenancy import tenant_scope
from tests import factories
from tests.portal.html import faults_of

PAGES = [
    "/",
    "/members/",
    "/api-keys/",
    "/audit-log/",
    "/accounts/email/",
    "/accounts/password/change/",
    "/accounts/2fa/",
]


@pytest.fixture
def browser(alice: User) -> Client:
    """Alice's."""
    return factories.logged_in(alice)


@pytest.mark.parametrize("path", PAGES)
def test_page_is_sound(browser: Client, bob: User, path: str) -> None:
    response = browser.get(path)

    html = response.content.decode()
    assert response.status_code == 200
    assert faults_of(html) == []
    assert html.count('aria-current="page"') == (1 if path.count("/") < 3 else 0)


@pytest.mark.parametrize("path", [path for path in PAGES if not path.startswith("/accounts/")])
def test_page_says_how_the_api_does_the_same(browser: Client, path: str) -> None:
    html = browser.get(path).content.decode()

    assert 'class="door"' in html
    assert "/v1/" in html


def test_navigation_shows_what_the_role_may_see(bob: User) -> None:
    html = factories.logged_in(bob).get("/").content.decode()

    assert 'href="/members/"' in html
    assert 'href="/api-keys/"' not in html  # a developer makes no keys
    assert 'href="/ops/"' not in html


def test_key_is_shown_once(browser: Client, tenant: Tenant) -> None:
    made = browser.post("/api-keys/", {"name": "line 3", "scopes": ["predict"]})
    after = browser.get("/api-keys/").content.decode()

    assert "mr_test_" in made.content.decode()
    assert made["Cache-Control"] == "no-store"
    assert "mr_test_" not in after
    assert "line 3" in after


def test_key_without_scopes_is_refused_at_the_field(browser: Client, tenant: Tenant) -> None:
    response = browser.post("/api-keys/", {"name": "line 3"})

    assert faults_of(response.content.decode()) == []
    assert "errorlist" in response.content.decode()
    with tenant_scope(tenant.pk):
        assert ApiKey.objects.count() == 0


def test_key_is_revoked_by_its_button(browser: Client, tenant: Tenant) -> None:
    factories.make_api_key(tenant)
    with tenant_scope(tenant.pk):
        key = ApiKey.objects.get()

    page = browser.get("/api-keys/").content.decode()
    browser.post(f"/api-keys/{key.public_id}/revoke")

    assert "Revoke test" in page
    with tenant_scope(tenant.pk):
        key.refresh_from_db()
    assert key.revoked_at is not None


def test_invitation_is_sent_and_withdrawn(browser: Client, tenant: Tenant) -> None:
    browser.post("/members/", {"email": "li@example.com", "role": "developer"})
    with tenant_scope(tenant.pk):
        invitation = Invitation.objects.get()

    assert "li@example.com" in browser.get("/members/").content.decode()
    browser.post(f"/members/invitations/{invitation.public_id}/withdraw")
    assert "Withdraw li@example.com" not in browser.get("/members/").content.decode()


def test_last_owner_stays_and_the_page_says_why(browser: Client, alice: User, tenant: Tenant) -> None:
    with tenant_scope(tenant.pk):
        own = Membership.objects.get(user=alice)

    response = browser.post(f"/members/{own.public_id}/remove", follow=True)

    assert "owner" in response.content.decode()
    assert 'class="notice error"' in response.content.decode()
    with tenant_scope(tenant.pk):
        assert Membership.objects.filter(pk=own.pk).exists()


def test_stranger_logs_in_first_and_comes_back(client: Client, tenant: Tenant) -> None:
    response = client.get("/members/")

    assert response.status_code == 302
    assert response["Location"] == "/accounts/login/?next=/members/"


def test_refusal_is_a_page_that_names_the_permission(bob: User) -> None:
    response = factories.logged_in(bob).get("/api-keys/")

    assert response.status_code == 403
    assert faults_of(response.content.decode()) == []
    assert "keys.read" in response.content.decode()


def test_person_without_an_organisation_is_told_what_to_do(db: None) -> None:
    response = factories.logged_in(factories.make_user()).get("/", follow=True)

    assert response.redirect_chain == [("/tenant/new", 302)]
    assert faults_of(response.content.decode()) == []
    assert "invitation" in response.content.decode()


def test_organisations_are_switched(alice: User, tenant: Tenant) -> None:
    other = factories.make_tenant(name="Second Works", owner=alice)
    browser = factories.logged_in(alice)

    assert "Second Works" in browser.get("/").content.decode()
    browser.post("/tenant/switch", {"tenant": other.public_id, "next": "/"})

    assert "<h1>Second Works</h1>" in browser.get("/").content.decode()
