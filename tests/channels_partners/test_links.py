"""Links: what a visitor meets at /r/<code>."""

from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.conf import LazySettings
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import User
from channels_partners.errors import CodeTaken, DestinationInvalid
from channels_partners.models import Click, Link, Visitor
from channels_partners.selectors import partner_for_visitor
from channels_partners.services.links import link_create, link_disable
from millrace.api import throttling
from millrace.kernel import clock, visitors
from tests.channels_partners.makers import make_channel, make_link, make_partner
from tests.factories import SYSTEM, logged_in

pytestmark = pytest.mark.django_db


def follow(code: str, client: Client | None = None, **headers: str):
    return (client or Client()).get(f"/r/{code}", headers={"User-Agent": "Firefox", **headers})


def test_a_click_is_stored_before_the_redirect_in_one_round_trip() -> None:
    link = make_link(make_partner(), code="spring", destination="/pricing?x=1")

    with CaptureQueriesContext(
        connection,
    ) as queries:
        answer = follow("Spring", referer="https://forum.test/thread?secret=1")

    assert len(queries) == 1
    assert (answer.status_code, answer["Location"], answer["Cache-Control"]) == (302, "/pricing?x=1", "no-store")
    click = Click.objects.get()
    assert (click.link, click.referer_host) == (link, "forum.test")
    assert "127.0.0.1" not in click.ip_hash
    assert "Firefox" not in click.user_agent_hash


def test_a_member_who_follows_a_link_costs_no_more(alice: User) -> None:
    make_link(code="spring")
    browser = logged_in(alice)

    with CaptureQueriesContext(connection) as queries:
        assert follow("spring", browser).status_code == 302

    assert len(queries) == 1
    assert Click.objects.count() == 1


def test_who_follows_links_without_end_is_sent_on_and_not_counted(
    settings: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.ANONYMOUS_RATE_PER_MINUTE = 2
    monkeypatch.setattr(throttling, "time", SimpleNamespace(time=lambda: 1_000_000.0))  # one minute, and no other
    make_link(code="spring", destination="/pricing")

    answers = [follow("spring", **{"X-Forwarded-For": f"10.0.0.{number}"}) for number in range(4)]

    assert [answer["Location"] for answer in answers] == ["/pricing"] * 4
    assert [visitors.COOKIE in answer.cookies for answer in answers] == [True, True, False, False]
    assert Click.objects.count() == 2


def test_the_cookie_is_signed_first_party_and_lasts_90_days() -> None:
    make_link(code="spring")

    cookie = follow("spring").cookies[visitors.COOKIE]

    assert (cookie["httponly"], cookie["samesite"], cookie["max-age"]) == (True, "Lax", 90 * 24 * 3600)
    assert visitors.visitor_id_in(cookie.value) == Visitor.objects.get().pk
    assert visitors.visitor_id_in(cookie.value[:-1] + "x") is None


def test_a_known_visitor_keeps_its_id_and_a_forged_cookie_is_not_believed() -> None:
    make_link(code="spring")
    client, forger = Client(), Client()
    for _ in range(2):
        follow("spring", client)
    known = Visitor.objects.get()
    forger.cookies[visitors.COOKIE] = str(known.pk)

    follow("spring", forger)

    assert known.clicks.count() == 2
    assert Visitor.objects.count() == 2


@pytest.mark.parametrize(
    "headers", [{"Sec-Purpose": "prefetch;prerender"}, {"Purpose": "prefetch"}, {"User-Agent": "Googlebot/2.1"}]
)
def test_prefetches_and_robots_are_sent_on_uncounted(headers: dict) -> None:
    make_link(code="spring", destination="/pricing")

    answer = follow("spring", **headers)

    assert (answer.status_code, answer["Location"]) == (302, "/pricing")
    assert visitors.COOKIE not in answer.cookies
    assert not Click.objects.exists()


def test_head_is_not_a_visit_and_post_is_refused() -> None:
    make_link(code="spring")

    assert Client().head("/r/spring").status_code == 302
    assert Client().post("/r/spring").status_code == 405
    assert not Click.objects.exists()


@pytest.mark.parametrize("code", ["unknown", "%00", "a'b", "ü", "x" * 300])
def test_an_unknown_code_is_a_friendly_page_and_stores_nothing(code: str) -> None:
    answer = follow(code)

    assert answer.status_code == 404
    assert "leads nowhere" in answer.content.decode()
    assert visitors.COOKIE not in answer.cookies
    assert not Visitor.objects.exists()


def test_a_disabled_link_leads_nowhere() -> None:
    link_disable(link=make_link(code="spring"), actor=SYSTEM)

    assert follow("spring").status_code == 404
    assert not Click.objects.exists()


@pytest.mark.parametrize(
    "destination",
    [
        "https://evil.test",
        "//evil.test",
        "/\\evil.test",
        "\\\\evil.test",
        "javascript:alert(1)",
        "evil",
        "/a\nb",
        "/\t/evil.test",
        "/r/spring",
        "/pricing/%2e%2e/r/spring",
    ],
)
def test_a_link_cannot_lead_elsewhere(destination: str) -> None:
    with pytest.raises(DestinationInvalid):
        link_create(channel=make_channel(), destination=destination, actor=SYSTEM)
    assert not Link.objects.exists()


def test_a_row_that_leads_elsewhere_is_not_followed() -> None:
    link = make_link(code="spring")
    Link.objects.filter(pk=link.pk).update(destination="//evil.test")

    assert follow("spring").status_code == 404


def test_a_code_is_given_once() -> None:
    make_link(code="spring")

    with pytest.raises(CodeTaken):
        make_link(code="SPRING")


def test_the_sign_up_page_can_name_the_partner() -> None:
    partner, client = make_partner("Sensor Partners"), Client()
    make_link(partner, code="spring")
    follow("spring", client)

    visitor_id = visitors.visitor_id_of({visitors.COOKIE: client.cookies[visitors.COOKIE].value})

    assert partner_for_visitor(visitor_id) == partner
    assert partner_for_visitor(visitor_id, at=clock.now() + timedelta(days=31)) is None  # nor would it be bound
    assert partner_for_visitor(None) is None
    assert "You came through Sensor Partners." in client.get("/accounts/signup/").content.decode()
    assert "You came through" not in Client().get("/accounts/signup/").content.decode()
