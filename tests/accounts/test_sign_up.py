"""Signing up, verifying, logging in and resetting, as a browser does it."""

import re
from typing import Any

import pytest
from django.test import Client

from accounts.models import Mail, Membership, Tenant, User
from millrace.kernel import visitors
from millrace.kernel.ids import uuid7
from millrace.kernel.models import OutboxEvent
from millrace.kernel.tenancy import platform_scope
from tests.factories import logged_in
from tests.threads import in_threads

FORM = {
    "name": "Dora", "organisation": "Dora Optics", "email": "dora@example.com", "password1": "a good long password",
    "coupon": "FAIR26", "invitation": "",
}  # fmt: skip


def link_in(mail: Mail) -> str:
    """The path of the first address in the mail."""
    found = re.search(r"https?://[^/\s]+(/\S*)", mail.text)
    assert found, mail.text
    return found.group(1)


def last_mail(to: str) -> Mail:
    mail = Mail.objects.filter(to=to).order_by("-id").first()
    assert mail
    return mail


@pytest.fixture(autouse=True)
def _mail_is_kept(settings: Any) -> None:
    settings.EMAIL_BACKEND = "accounts.mailbox.DatabaseEmailBackend"  # the suite's default keeps mail in memory


@pytest.fixture
def browser(db: None) -> Client:
    return Client()


def test_signing_up_makes_a_user_a_tenant_and_news_of_how_they_came(browser: Client) -> None:
    visitor_id = uuid7()
    browser.cookies[visitors.COOKIE] = visitors.signed(visitor_id)

    answer = browser.post("/accounts/signup/", FORM)

    assert answer.status_code == 302
    assert "confirm-email" in answer["Location"]
    with platform_scope(reason="look"):
        member = Membership.objects.select_related("user", "tenant").get()
        news = OutboxEvent.objects.get(topic="tenant.created")
    assert (member.user.email, member.user.name, member.role) == ("dora@example.com", "Dora", "owner")
    assert (member.tenant.name, member.tenant.verified_at) == ("Dora Optics", None)
    assert news.payload["coupon"] == "FAIR26"
    assert news.payload["visitor_id"] == str(visitor_id)
    assert news.payload["email"] == "dora@example.com"


def test_an_unverified_address_cannot_log_in_until_its_link_is_opened(browser: Client) -> None:
    browser.post("/accounts/signup/", FORM)
    other_device = Client()
    credentials = {"login": "dora@example.com", "password": FORM["password1"]}
    assert "confirm-email" in other_device.post("/accounts/login/", credentials)["Location"]

    link = link_in(last_mail("dora@example.com"))
    assert "Confirm dora@example.com" in other_device.get(link).content.decode()
    assert User.objects.get().verified_at is None  # opening the link proves nothing: mail scanners open links
    other_device.post(link)

    user = User.objects.get()
    assert user.verified_at is not None
    with platform_scope(reason="look"):
        assert Tenant.objects.get().verified_at == user.verified_at
        assert OutboxEvent.objects.filter(topic="user.verified").count() == 1
    assert other_device.post("/accounts/login/", credentials)["Location"] == "/"
    assert other_device.get("/v1/me").json()["user"]["email"] == "dora@example.com"


def test_an_address_confirmed_just_before_a_crash_counts_from_the_next_log_in(
    browser: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser.post("/accounts/signup/", FORM)

    def dies(**_: object) -> None:
        raise RuntimeError("killed")

    with monkeypatch.context() as patched, pytest.raises(RuntimeError):
        patched.setattr("accounts.subscribers.user_verify", dies)
        browser.post(link_in(last_mail("dora@example.com")))
    assert User.objects.get().verified_at is None

    Client().post("/accounts/login/", {"login": "dora@example.com", "password": FORM["password1"]})

    user = User.objects.get()
    assert user.verified_at is not None
    with platform_scope(reason="look"):
        assert Tenant.objects.get().verified_at == user.verified_at


def test_c5_an_address_in_use_makes_nothing_and_tells_nobody(browser: Client, alice: User) -> None:
    fresh = browser.post("/accounts/signup/", FORM)
    before = tenants_there_are()

    for address in ("alice@example.com", "ALICE@Example.com"):
        taken = Client().post("/accounts/signup/", FORM | {"email": address})
        assert (taken.status_code, taken["Location"]) == (fresh.status_code, fresh["Location"])

    assert tenants_there_are() == before
    assert User.objects.filter(email__iexact="alice@example.com").count() == 1
    assert "already" in last_mail("alice@example.com").text


@pytest.mark.parametrize("door", ["page", "headless"])
def test_c5_two_sign_ups_at_one_moment_make_one_account(real_db: None, door: str) -> None:
    statuses = in_threads(2, lambda _: sign_up(Client(), door).status_code)

    assert statuses == [302 if door == "page" else 401] * 2  # as for a new address: its mail is to be opened
    assert User.objects.count() == 1
    assert tenants_there_are() == 1


@pytest.mark.parametrize(
    ("field", "value"), [("email", "no address"), ("organisation", ""), ("name", ""), ("password1", "short")]
)
def test_a_form_with_a_fault_makes_nothing(browser: Client, field: str, value: str) -> None:
    answer = browser.post("/accounts/signup/", FORM | {field: value})

    assert answer.status_code == 200
    assert field in answer.context["form"].errors
    assert not User.objects.exists()
    assert tenants_there_are() == 0


@pytest.mark.parametrize("door", ["page", "headless"])
def test_a_tenant_that_cannot_be_made_leaves_no_user(
    browser: Client, monkeypatch: pytest.MonkeyPatch, door: str
) -> None:
    def broken(**_: object) -> None:
        raise RuntimeError("down")

    monkeypatch.setattr("accounts.signup.tenant_create", broken)

    with pytest.raises(RuntimeError):
        sign_up(browser, door)

    assert not User.objects.exists()


def test_the_coupon_of_a_link_stands_in_the_form(browser: Client) -> None:
    page = browser.get("/accounts/signup/?coupon=FAIR26").content.decode()

    assert 'value="FAIR26"' in page


@pytest.mark.parametrize("door", ["page", "headless"])
def test_t9_failed_log_ins_are_counted_whatever_address_the_client_claims(
    browser: Client, alice: User, settings: Any, door: str
) -> None:
    settings.ACCOUNT_RATE_LIMITS = {}  # allauth's own, as in production: five for an address within five minutes

    def log_in(password: str, claimed: str) -> Any:
        headers = {"X-Forwarded-For": claimed}
        if door == "page":
            form = {"login": alice.email, "password": password}
            return Client().post("/accounts/login/", form, headers=headers)
        body = {"email": alice.email, "password": password}
        path = "/_allauth/browser/v1/auth/login"
        return Client().post(path, body, content_type="application/json", headers=headers)

    for number in range(5):
        assert "Too many failed login attempts" not in log_in("a wrong one", f"10.0.0.{number}").content.decode()
    refused = log_in("correct horse battery", "10.0.0.9")

    assert "Too many failed login attempts" in refused.content.decode()
    assert "sessionid" not in refused.cookies


def test_a_forgotten_password_is_reset_by_a_mailed_link(browser: Client, alice: User) -> None:
    browser.post("/accounts/password/reset/", {"email": "alice@example.com"})

    form = browser.get(link_in(last_mail("alice@example.com")), follow=True)
    done = browser.post(form.request["PATH_INFO"], {"password1": "another long password",
                                                    "password2": "another long password"})  # fmt: skip

    assert done.status_code == 302
    alice.refresh_from_db()
    assert alice.check_password("another long password")


def test_resetting_an_unknown_address_answers_the_same(browser: Client, alice: User) -> None:
    known = browser.post("/accounts/password/reset/", {"email": "alice@example.com"})
    unknown = browser.post("/accounts/password/reset/", {"email": "nobody@example.com"})

    assert (known.status_code, known["Location"]) == (unknown.status_code, unknown["Location"])


def sign_up(browser: Client, door: str) -> Any:
    """By the page's form, or as a program does it."""
    if door == "page":
        return browser.post("/accounts/signup/", FORM)
    body = {"email": "dora@example.com", "password": FORM["password1"], "name": "Dora", "organisation": "Dora Optics"}
    return browser.post("/_allauth/browser/v1/auth/signup", body, content_type="application/json")


def test_signing_up_over_the_headless_door_founds_a_tenant_too(browser: Client) -> None:
    answer = sign_up(browser, "headless")

    assert answer.status_code == 401  # the address awaits verification
    assert [flow["id"] for flow in answer.json()["data"]["flows"] if flow.get("is_pending")] == ["verify_email"]
    assert tenants_there_are() == 1


@pytest.mark.parametrize(
    "path",
    ["/accounts/login/", "/accounts/signup/", "/accounts/password/reset/", "/accounts/confirm-email/"],
)
def test_pages_for_strangers_stand_in_the_portals_frame(browser: Client, path: str) -> None:
    page = browser.get(path)

    assert page.status_code == 200
    assert "portal/base.html" in [template.name for template in page.templates]


@pytest.mark.parametrize(
    "path",
    ["/accounts/email/", "/accounts/password/change/", "/accounts/2fa/", "/accounts/logout/", "/dev/mail/"],
)
def test_pages_for_persons_stand_in_the_portals_frame(alice: User, path: str) -> None:
    page = logged_in(alice).get(path)

    assert page.status_code == 200
    assert "portal/base.html" in [template.name for template in page.templates]


def tenants_there_are() -> int:
    with platform_scope(reason="look"):
        return Tenant.objects.count()
