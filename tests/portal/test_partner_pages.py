"""What partners see, and nobody else."""

import pytest
from django.test import Client

from accounts.models import User
from channels_partners.models import Code, Link, Partner
from channels_partners.services.partners import partner_change
from millrace.kernel import visitors
from millrace.kernel.tenancy import platform_scope
from tests import factories
from tests.channels_partners.makers import make_link, make_partner, pay, refund, sign_up
from tests.portal.html import faults_of

PAGES = ["/", "/partner/", "/partner/links/", "/partner/referrals/", "/partner/earnings/"]


@pytest.fixture
def partner(database: None) -> Partner:
    """An agent with 20 % for ever."""
    return make_partner()


@pytest.fixture
def member(partner: Partner) -> User:
    """The partner's owner."""
    with platform_scope(reason="look"):
        return User.objects.get(memberships__tenant=partner.organisation)


@pytest.mark.parametrize("path", PAGES)
def test_empty_page_is_sound(member: User, path: str) -> None:
    response = factories.logged_in(member).get(path)

    assert response.status_code == 200
    assert faults_of(response.content.decode()) == []
    assert 'class="door"' in response.content.decode()


@pytest.mark.parametrize("path", PAGES)
def test_full_page_shows_what_was_earned(partner: Partner, member: User, path: str) -> None:
    link = make_link(partner)
    client = Client()
    client.get(f"/r/{link.code}")
    visitor_id = str(visitors.visitor_id_of({name: morsel.value for name, morsel in client.cookies.items()}))
    customer = sign_up(name="Wuhan Valves", visitor_id=visitor_id)
    invoice = pay(customer.tenant_id, 10_000)
    refund(invoice, 5_000)

    html = factories.logged_in(member).get(path).content.decode()

    assert faults_of(html) == []
    if path in ("/", "/partner/"):
        assert "Held back" in html
        assert "10.00" in html  # 20 % of the half that stayed
    if path == "/partner/earnings/":
        assert "20.00" in html  # 20 % of 100.00
        assert "taken back" in html
    if path == "/partner/referrals/":
        assert "Wuhan Valves" in html


def test_link_is_made_and_disabled(partner: Partner, member: User) -> None:
    browser = factories.logged_in(member)

    browser.post("/partner/links/", {"make": "link", "link-name": "spring fair", "link-code": "spring-fair"})
    page = browser.get("/partner/links/").content.decode()
    with platform_scope(reason="look"):
        link = Link.objects.get(code="spring-fair")
    browser.post(f"/partner/links/{link.public_id}/disable")

    assert "/r/spring-fair" in page
    with platform_scope(reason="look"):
        link.refresh_from_db()
    assert link.disabled_at is not None
    assert Client().get("/r/spring-fair").status_code == 404


@pytest.mark.parametrize("sent", [
    {"make": "link", "link-code": "no"}, {"make": "link", "link-destination": "https://evil.example/"},
    {"make": "code", "code-code": "?"}, {"make": "code"}, {"make": "nothing"}, {},
])  # fmt: skip
def test_refused_link_changes_nothing(member: User, sent: dict) -> None:
    response = factories.logged_in(member).post("/partner/links/", sent)

    assert response.status_code == 200
    assert faults_of(response.content.decode()) == []
    with platform_scope(reason="look"):
        assert not Link.objects.exists()
        assert not Code.objects.exists()


def test_taken_code_is_told_at_its_field(partner: Partner, member: User) -> None:
    make_link(partner, code="taken")

    html = factories.logged_in(member).post("/partner/links/", {"make": "link", "link-code": "taken"}).content.decode()

    assert "errorlist" in html
    assert "Choose another code." in html


@pytest.mark.parametrize("sent", [{"make": "link", "link-code": "spring"}, {"make": "code", "code-code": "SPRING"}])
def test_suspended_partner_reads_on_and_changes_nothing(partner: Partner, member: User, sent: dict) -> None:
    link, browser = make_link(partner), factories.logged_in(member)
    partner_change(partner=partner, status="suspended", actor=factories.SYSTEM)

    page = browser.get("/partner/links/").content.decode()
    assert f"/r/{link.code}" in page
    assert f"Disable {link.code}" not in page
    assert "Make the link" not in page
    assert browser.post("/partner/links/", sent).status_code == 403
    assert browser.post(f"/partner/links/{link.public_id}/disable").status_code == 403
    with platform_scope(reason="look"):
        assert list(Link.objects.values_list("pk", "disabled_at")) == [(link.pk, None)]
        assert not Code.objects.exists()


def test_another_partner_s_link_is_not_found(member: User) -> None:
    other = make_link(make_partner("Others"))

    assert factories.logged_in(member).post(f"/partner/links/{other.public_id}/disable").status_code == 404
    with platform_scope(reason="look"):
        other.refresh_from_db()
    assert other.disabled_at is None


def test_sign_up_names_the_partner_who_brought_the_visitor(partner: Partner) -> None:
    link = make_link(partner)
    client = Client()
    client.get(f"/r/{link.code}")

    assert "You came through Sensor Partners." in client.get("/accounts/signup/").content.decode()
    assert "You came through" not in Client().get("/accounts/signup/").content.decode()


def test_customers_see_no_partner_pages(alice: User) -> None:
    html = factories.logged_in(alice).get("/").content.decode()

    assert 'href="/partner/"' not in html
    assert factories.logged_in(alice).get("/partner/").status_code == 403
