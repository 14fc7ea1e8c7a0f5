"""The company's own pages."""

import pytest
from django.test import Client

from accounts.models import User
from channels_partners.models import SurveyAnswer
from channels_partners.reports.catalogue import REPORTS
from channels_partners.services.links import code_create
from millrace.kernel import clock
from millrace.kernel.ids import uuid7
from millrace.kernel.ledger import Line, post
from millrace.kernel.tenancy import platform_scope, tenant_scope
from tests import factories
from tests.channels_partners.makers import attribution_of, make_partner, sign_up
from tests.mlops.cast import session
from tests.portal.html import faults_of

PAGES = ["/ops/", "/ops/attributions/", "/ops/devices/", *[f"/ops/reports/{name}/" for name in REPORTS]]


@pytest.fixture
def browser(staff: User) -> Client:
    """Staff's."""
    return factories.logged_in(staff)


def settle(tenant_id: object, amount: int) -> None:
    """An invoice of a tenant paid, as the ledger has it."""
    where = {"tenant_id": tenant_id, "invoice_id": uuid7()}
    with platform_scope(reason="test data"):
        post(
            key=uuid7().hex, kind="invoice.paid", at=clock.now(), memo="test",
            lines=[Line(account="stripe:clearing", amount=amount, currency="CNY", **where),
                   Line(account="revenue:usage", amount=-amount, currency="CNY", **where)],
        )  # fmt: skip


@pytest.mark.parametrize("path", PAGES)
def test_empty_page_is_sound(browser: Client, path: str) -> None:
    response = browser.get(path)

    assert response.status_code == 200
    assert faults_of(response.content.decode()) == []
    assert 'class="door"' in response.content.decode()


@pytest.mark.parametrize("path", PAGES)
def test_page_with_customers_is_sound(browser: Client, path: str) -> None:
    settle(sign_up(name="Wuhan Valves").tenant_id, 12_300)
    sign_up(name="Free Riders")
    session()

    response = browser.get(path)

    assert response.status_code == 200
    assert faults_of(response.content.decode()) == []


def test_overview_shows_the_ratio_and_the_revenue(browser: Client) -> None:
    settle(sign_up(name="Wuhan Valves").tenant_id, 12_300)
    sign_up(name="Free Riders")

    html = browser.get("/ops/").content.decode()

    assert "50.0" in html
    assert "123.00" in html
    assert html.count("<svg") >= 3  # the mark and two charts


def test_every_line_of_a_report_leads_to_its_rows(browser: Client) -> None:
    settle(sign_up(name="Wuhan Valves").tenant_id, 12_300)
    table = browser.get("/ops/reports/channel-revenue/").content.decode()

    address = table.split('<th scope="row"><a href="')[1].split('"')[0].replace("&amp;", "&")
    rows = browser.get(address)

    html = rows.content.decode()
    assert rows.status_code == 200
    assert faults_of(html) == []
    assert "revenue:usage" in html
    assert "123.00" in html


@pytest.mark.parametrize(
    "path", ["/ops/reports/gold/", "/ops/reports/mrr/?by=moon", "/ops/?from=yesterday", "/ops/devices/?to=x"]
)
def test_nonsense_is_refused_with_a_page(browser: Client, path: str) -> None:
    response = browser.get(path)

    assert response.status_code in {404, 422}
    assert faults_of(response.content.decode()) == []


@pytest.mark.parametrize(("decision", "becomes"), [("approve", "bound"), ("reject", "rejected"), ("shrug", "held")])
def test_held_attribution_is_decided(browser: Client, decision: str, becomes: str) -> None:
    partner = make_partner(email="boss@self.test")
    code_create(code="SELF", channel=partner.channel, partner=partner, actor=factories.SYSTEM)
    held = sign_up("boss+2@self.test", coupon="SELF")
    assert held.status == "held"

    page = browser.get("/ops/attributions/").content.decode()
    browser.post(f"/ops/attributions/{held.public_id}/review", {"decision": decision})

    assert f"Approve {held.tenant.name}" in page
    assert faults_of(page) == []
    assert attribution_of(held.tenant_id).status == becomes


@pytest.mark.parametrize("path", PAGES)
def test_staff_pages_do_not_exist_for_others(alice: User, path: str) -> None:
    assert factories.logged_in(alice).get(path).status_code == 404
    assert Client().get(path)["Location"].startswith("/accounts/login/")


def test_satisfaction_is_asked_once_a_month(alice: User, tenant: object) -> None:
    browser = factories.logged_in(alice)
    asked = browser.get("/").content.decode()

    after = browser.post("/survey", {"score": "5"}, follow=True).content.decode()
    again = browser.post("/survey", {"score": "1"}, follow=True).content.decode()

    assert "How satisfied are you" in asked
    assert "How satisfied are you" not in after
    assert 'class="notice error"' in again
    with tenant_scope(tenant.pk):  # type: ignore[attr-defined]
        assert SurveyAnswer.objects.get().score == 5


@pytest.mark.parametrize("score", ["", "0", "6", "five"])
def test_strange_score_is_not_kept(alice: User, tenant: object, score: str) -> None:
    factories.logged_in(alice).post("/survey", {"score": score})

    with tenant_scope(tenant.pk):  # type: ignore[attr-defined]
        assert not SurveyAnswer.objects.exists()
