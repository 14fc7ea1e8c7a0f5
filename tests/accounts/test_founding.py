"""A person without an organisation founds one: whoever left the last, or saw it closed."""

import pytest
from django.test import Client

from accounts.models import Membership, Tenant, User
from accounts.services.members import member_remove
from accounts.services.tenants import tenant_set_state
from channels_partners.models import Attribution
from millrace.kernel import outbox
from millrace.kernel.tenancy import platform_scope, tenant_scope
from tests import factories
from tests.channels_partners.makers import make_link, make_partner
from tests.portal.html import faults_of
from tests.threads import in_threads

FORM = {"organisation": "Second Try", "coupon": ""}


def owned_by(user: User) -> list[str]:
    with platform_scope(reason="look"):
        found = Membership.objects.filter(user=user, role="owner").exclude(tenant__state="closed")
        return list(found.values_list("tenant__name", flat=True))


def test_who_was_removed_from_the_last_one_founds_another(alice: User, bob: User, tenant: Tenant) -> None:
    browser = factories.logged_in(bob)
    assert browser.get("/").status_code == 200
    with tenant_scope(tenant.pk):
        place = Membership.objects.get(user=bob)
        member_remove(tenant_id=tenant.pk, member_id=place.pk, actor=factories.SYSTEM, by_owner=True)

    page = browser.get("/", follow=True)
    done = browser.post("/tenant/new", FORM, follow=True)

    assert "You belong to no organisation" in page.content.decode()
    assert faults_of(page.content.decode()) == []
    assert "Second Try is founded, and you are its owner." in done.content.decode()
    assert owned_by(bob) == ["Second Try"]
    assert browser.get("/v1/me").json()["tenant"]["name"] == "Second Try"
    with platform_scope(reason="look"):
        assert Tenant.objects.get(name="Second Try").verified_at == bob.verified_at


def test_who_saw_the_last_one_closed_founds_another_and_comes_by_a_link(alice: User, tenant: Tenant) -> None:
    partner = make_partner()
    make_link(partner, code="spring")
    tenant_set_state(tenant_id=tenant.pk, state="closed", actor=factories.SYSTEM)
    browser = factories.logged_in(alice)
    browser.get("/r/spring", headers={"User-Agent": "Firefox"})

    browser.post("/tenant/new", FORM)
    outbox.drain()

    assert owned_by(alice) == ["Second Try"]
    with platform_scope(reason="look"):
        assert Attribution.objects.get(tenant__name="Second Try").partner == partner


def test_members_and_strangers_found_nothing(alice: User) -> None:
    member = factories.logged_in(alice).post("/tenant/new", FORM)
    stranger = Client().post("/tenant/new", FORM)

    assert (member.status_code, member["Location"]) == (302, "/")
    assert stranger.status_code == 401
    with platform_scope(reason="look"):
        assert not Tenant.objects.filter(name="Second Try").exists()


@pytest.mark.parametrize("name", ["", " ", "x" * 121])
def test_a_name_that_is_none_founds_nothing(db: None, name: str) -> None:
    user = factories.make_user()

    page = factories.logged_in(user).post("/tenant/new", FORM | {"organisation": name})

    assert page.status_code == 200
    assert faults_of(page.content.decode()) == []
    assert "errorlist" in page.content.decode()
    assert owned_by(user) == []


def test_the_form_sent_twice_at_one_moment_founds_one(real_db: None) -> None:
    user = factories.make_user()
    browsers = [factories.logged_in(user) for _ in range(2)]

    ends = in_threads(2, lambda number: browsers[number].post("/tenant/new", FORM)["Location"])

    assert ends == ["/", "/"]
    assert owned_by(user) == ["Second Try"]


def test_a_page_of_an_organisation_says_what_is_missing(db: None) -> None:
    page = factories.logged_in(factories.make_user()).get("/jobs/")

    assert page.status_code == 403
    assert 'href="/tenant/new"' in page.content.decode()
