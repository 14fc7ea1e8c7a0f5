"""C4: the partner's click survives a real OAuth round trip, and what may go wrong on the way makes nothing.

The provider answers over real HTTP (tests/accounts/openid_provider.py); the browser is Django's client here, which
follows redirects from one host to the other with its cookies, its forms and their CSRF tokens.
"""

import re
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx
import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount
from django.test import Client

from accounts.models import Mail, Membership, Tenant, User
from accounts.services.invitations import invitation_create
from channels_partners.models import Attribution
from millrace.kernel import outbox, visitors
from millrace.kernel.tenancy import platform_scope, tenant_scope
from tests.accounts.openid_provider import CLIENT_ID, OpenIdProvider, openid_provider
from tests.accounts.test_second_factor import code_for
from tests.channels_partners.browser import Browser
from tests.channels_partners.makers import attribution_of, make_link, make_partner, sign_up
from tests.factories import SYSTEM, make_user
from tests.portal.html import faults_of
from tests.threads import in_threads

SIGN_UP = "/accounts/3rdparty/signup/"


@pytest.fixture
def provider(settings: Any) -> Iterator[OpenIdProvider]:
    settings.EMAIL_BACKEND = "accounts.mailbox.DatabaseEmailBackend"
    with openid_provider() as running:
        settings.SOCIALACCOUNT_PROVIDERS = running.settings()
        yield running


@pytest.fixture
def partner(database: None) -> Any:
    found = make_partner("Sensor Partners")
    make_link(found, code="spring", destination="/accounts/signup/?coupon=")
    return found


def arrive(browser: Browser) -> Browser:
    """By the partner's link, to the provider and back: the form of the last step."""
    browser.go("/r/spring")
    assert visitors.COOKIE in browser.client.cookies
    return browser.send("Continue with Optics ID")


def all_there_is() -> tuple[int, int, int]:
    with platform_scope(reason="look"):
        return User.objects.count(), Tenant.objects.count(), SocialAccount.objects.count()


def bound_of(email: str) -> Attribution:
    outbox.drain()
    with platform_scope(reason="look"):
        place = Membership.objects.select_related("tenant", "user").get(user__email=email)
    assert place.role == "owner"
    return attribution_of(place.tenant_id)


def test_c4_the_click_survives_an_oauth_round_trip(partner: Any, provider: OpenIdProvider) -> None:
    browser, before = Browser(), all_there_is()

    arrive(browser)

    assert browser.at == SIGN_UP
    assert faults_of(browser.text()) == []
    assert "You came through Sensor Partners." in browser.text()
    assert 'value="dora@example.com"' in browser.text()
    assert 'value="Dora Lens"' in browser.text()
    assert all_there_is() == before  # nothing is made before the person says which organisation it is

    browser.send("Sign up", organisation="Dora Optics")

    assert (browser.at, browser.me()) == ("/", "dora@example.com")
    found = bound_of("dora@example.com")
    assert (found.precedence, found.partner, found.channel, found.status) == (
        "click",
        partner,
        partner.channel,
        "bound",
    )
    user = User.objects.get(email="dora@example.com")
    assert (user.name, user.has_usable_password()) == ("Dora Lens", False)
    assert user.verified_at is not None  # the provider vouched for the address: no mail to open
    assert found.tenant.verified_at == user.verified_at
    assert provider.asked[0]["redirect_uri"] == "http://testserver/accounts/oidc/sso/login/callback/"


def test_c4_the_cookie_is_lost_on_the_way_to_the_provider(partner: Any, provider: OpenIdProvider) -> None:
    browser = Browser()
    browser.go("/r/spring")
    left = browser.client.post("/accounts/oidc/sso/login/?process=login", csrf_of(browser))
    browser.lose(visitors.COOKIE)

    browser.follow(left)
    browser.send("Sign up", organisation="Dora Optics")

    found = bound_of("dora@example.com")
    assert (found.precedence, found.partner) == ("click", partner)


def test_c4_the_form_is_sent_from_another_device(partner: Any, provider: OpenIdProvider) -> None:
    arrive(Browser())  # and left there

    elsewhere = Browser()
    elsewhere.go("/accounts/login/").send("Continue with Optics ID")
    assert visitors.COOKIE not in elsewhere.client.cookies
    elsewhere.send("Sign up", organisation="Dora Optics")

    found = bound_of("dora@example.com")
    assert (found.precedence, found.partner) == ("click", partner)


def test_c4_an_address_that_nobody_vouches_for_is_mailed_to_first(partner: Any, provider: OpenIdProvider) -> None:
    provider.person |= {"email_verified": False}
    browser = arrive(Browser())

    browser.send("Sign up", organisation="Dora Optics")

    assert browser.at == "/accounts/confirm-email/"
    assert browser.me() == ""
    other = Browser()
    link = re.search(r"https?://[^/\s]+(/\S*confirm-email\S*)", Mail.objects.latest("id").text)
    assert link
    other.go(link.group(1)).send("Confirm dora@example.com")
    found = bound_of("dora@example.com")
    assert (found.precedence, found.partner) == ("click", partner)
    assert found.tenant.verified_at is not None
    assert browser.go("/accounts/login/").send("Continue with Optics ID").at == "/"


def test_c4_a_coupon_of_the_sign_up_page_comes_back_too(partner: Any, provider: OpenIdProvider) -> None:
    browser = Browser()
    browser.go("/accounts/signup/?coupon=FAIR26").send("Continue with Optics ID")

    assert 'value="FAIR26"' in browser.text()


def test_c4_who_comes_again_is_logged_in_and_bound_once(partner: Any, provider: OpenIdProvider) -> None:
    arrive(Browser()).send("Sign up", organisation="Dora Optics")
    first, before = bound_of("dora@example.com"), all_there_is()

    again = arrive(Browser())

    assert (again.at, again.me()) == ("/", "dora@example.com")
    assert all_there_is() == before
    assert bound_of("dora@example.com").pk == first.pk


def test_c4_the_second_factor_is_asked_after_the_provider(
    partner: Any, provider: OpenIdProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = arrive(Browser()).send("Sign up", organisation="Dora Optics")
    secret = browser.go("/accounts/2fa/totp/activate/").page.context["form"].secret
    browser.send("Authenticator", code=code_for(secret))
    assert Authenticator.objects.filter(type="totp").exists()
    provider_says_dora = Browser()

    provider_says_dora.go("/accounts/login/").send("Continue with Optics ID")

    assert provider_says_dora.at == "/accounts/2fa/authenticate/"
    assert provider_says_dora.me() == ""
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 60)  # the code of the set-up cannot be used again
    provider_says_dora.send('name="code"', code=code_for(secret))
    assert (provider_says_dora.at, provider_says_dora.me()) == ("/", "dora@example.com")
    assert bound_of("dora@example.com").partner == partner


def test_c5_an_address_that_has_an_account_makes_no_second_one(partner: Any, provider: OpenIdProvider) -> None:
    existing = make_user("dora@example.com")
    before = all_there_is()

    browser = arrive(Browser())

    assert browser.page.status_code == 409
    assert "You have an account already" in browser.text()
    assert faults_of(browser.text()) == []
    assert browser.me() == ""
    assert all_there_is() == before
    browser.go("/accounts/login/?next=/accounts/3rdparty/")
    browser.send('name="password"', login="dora@example.com", password="correct horse battery")
    browser.send("Continue with Optics ID")
    assert SocialAccount.objects.get().user == existing
    assert "Disconnect Optics ID" in browser.text()
    assert arrive(Browser()).me() == "dora@example.com"


def test_c5_an_unproven_address_in_use_learns_nothing_and_makes_nothing(partner: Any, provider: OpenIdProvider) -> None:
    make_user("dora@example.com")
    provider.person |= {"email_verified": False}
    before = all_there_is()

    browser = arrive(Browser()).send("Sign up", organisation="Dora Optics")

    assert browser.at == "/accounts/confirm-email/"  # as for a new address
    assert all_there_is() == before
    assert "already" in Mail.objects.latest("id").text


def token_log_in(client: Client, provider: OpenIdProvider) -> Any:
    """As a program of the person's own logs in, with what the provider gave it."""
    token = {"client_id": CLIENT_ID, "id_token": provider.identity()}
    body = {"provider": "sso", "process": "login", "token": token}
    return client.post("/_allauth/browser/v1/auth/provider/token", body, content_type="application/json")


def test_c4_the_click_survives_the_headless_doors_too(partner: Any, provider: OpenIdProvider) -> None:
    client = Client()
    client.get("/r/spring", headers={"User-Agent": "Firefox"})
    assert token_log_in(client, provider).status_code == 401  # what is missing is told
    client.cookies.pop(visitors.COOKIE)

    made = provider_sign_up(client)

    assert made.status_code == 200
    assert bound_of("dora@example.com").partner == partner


def provider_sign_up(client: Client, **fields: str) -> Any:
    """The last step of it, after `token_log_in`."""
    body = {"email": "dora@example.com", "name": "Dora", "organisation": "Dora Optics"} | fields
    return client.post("/_allauth/browser/v1/auth/provider/signup", body, content_type="application/json")


def test_a_headless_sign_up_that_breaks_makes_nothing(
    partner: Any, provider: OpenIdProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, client = all_there_is(), Client()
    token_log_in(client, provider)

    def broken(**_: object) -> None:
        raise RuntimeError("down")

    monkeypatch.setattr("accounts.signup.tenant_create", broken)

    with pytest.raises(RuntimeError):
        provider_sign_up(client)

    assert all_there_is() == before


def test_a_headless_sign_up_has_the_address_that_the_provider_proved(partner: Any, provider: OpenIdProvider) -> None:
    client = Client()
    token_log_in(client, provider)

    made = provider_sign_up(client, email="somebody.else@example.com")

    assert made.status_code == 200
    assert User.objects.get(socialaccount__provider="sso").email == "dora@example.com"
    assert not EmailAddress.objects.filter(email="somebody.else@example.com").exists()


def test_c5_the_headless_doors_connect_no_address_in_use(partner: Any, provider: OpenIdProvider) -> None:
    make_user("dora@example.com")
    before, client = all_there_is(), Client()

    answer = token_log_in(client, provider)

    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, "email_taken")
    assert client.get("/v1/me").status_code == 401
    assert all_there_is() == before


@pytest.mark.parametrize("what", ["wrong", "missing", "somebody else's", "used"])
def test_a_wrong_state_is_a_clear_page_and_makes_nothing(partner: Any, provider: OpenIdProvider, what: str) -> None:
    browser = Browser()
    browser.go("/r/spring")
    left = browser.client.post("/accounts/oidc/sso/login/?process=login", csrf_of(browser))
    back = urlsplit(httpx.get(left["Location"]).headers["Location"])
    query = dict(parse_qsl(back.query))
    before = all_there_is()
    if what == "wrong":
        query["state"] = "x" * 16
    elif what == "missing":
        del query["state"]
    elif what == "somebody else's":
        browser = Browser()
    else:
        assert browser.go(f"{back.path}?{urlencode(query)}").at == SIGN_UP

    browser.go(f"{back.path}?{urlencode(query)}")

    assert browser.page.status_code == 401
    assert "Logging in did not work" in browser.text()
    assert "Nothing was made or changed" in browser.text()
    assert faults_of(browser.text()) == []
    assert browser.me() == ""
    assert all_there_is() == before


def test_stopping_at_the_provider_makes_nothing(partner: Any, provider: OpenIdProvider) -> None:
    provider.deny = True
    before = all_there_is()

    browser = arrive(Browser())

    assert "You stopped the log-in" in browser.text()
    assert faults_of(browser.text()) == []
    assert all_there_is() == before


def test_an_identity_for_another_client_is_refused(partner: Any, provider: OpenIdProvider) -> None:
    provider.fault = "audience"
    before = all_there_is()

    browser = arrive(Browser())

    assert (browser.page.status_code, browser.me()) == (401, "")
    assert all_there_is() == before


def test_a_provider_that_is_away_is_a_page_and_no_crash(partner: Any, provider: OpenIdProvider) -> None:
    provider.fault = "away"

    browser = arrive(Browser())

    assert browser.page.status_code == 503
    assert "provider_unavailable" in browser.text()


def test_without_a_provider_there_is_no_button(database: None) -> None:
    for path in ("/accounts/login/", "/accounts/signup/"):
        assert "Continue with" not in Client().get(path).content.decode()
    assert Client().post("/accounts/oidc/sso/login/").status_code == 404


def invited(email: str) -> tuple[Tenant, str]:
    """A customer that invites the address as a developer, and the token that it was mailed."""
    host = sign_up("host@acme.test").tenant
    with tenant_scope(host.pk):
        invitation_create(tenant=host, email=email, role="developer", actor=SYSTEM, by_owner=True)
    token = re.search(r"/invitations/(\S+)", Mail.objects.get(to=email).text)
    assert token
    return host, token.group(1)


def test_an_invited_person_joins_without_founding(partner: Any, provider: OpenIdProvider) -> None:
    host, token = invited("dora@work.test")
    browser = Browser()

    browser.go(f"/accounts/signup/?invitation={token}").send("Continue with Optics ID")
    assert 'value="dora@work.test"' in browser.text()
    browser.send("Sign up")

    assert (browser.at, browser.me()) == ("/", "dora@work.test")
    with platform_scope(reason="look"):
        place = Membership.objects.get(user__email="dora@work.test")
    assert (place.tenant_id, place.role) == (host.pk, "developer")


def test_who_takes_the_invitation_out_of_the_form_has_the_proven_address(
    partner: Any, provider: OpenIdProvider
) -> None:
    _, token = invited("dora@work.test")
    browser = Browser()
    browser.go(f"/accounts/signup/?invitation={token}").send("Continue with Optics ID")

    browser.send("Sign up", invitation="", organisation="Dora Optics", email="somebody.else@example.com")

    assert browser.me() == "dora@example.com"
    assert not EmailAddress.objects.filter(email="somebody.else@example.com").exists()


def test_the_same_form_twice_at_one_moment_makes_one_account(
    real_db: None, partner: Any, provider: OpenIdProvider
) -> None:  # fmt: skip
    browser = arrive(Browser())
    cookies = {name: morsel.value for name, morsel in browser.client.cookies.items()}
    fields = csrf_of(browser) | {"name": "Dora", "organisation": "Dora Optics", "coupon": "", "invitation": ""}
    before = all_there_is()

    def send(_: int) -> tuple[str, int]:
        client = Client(enforce_csrf_checks=True)
        for name, value in cookies.items():
            client.cookies[name] = value
        return client.post(SIGN_UP, fields)["Location"], client.get("/v1/me").status_code

    ends = in_threads(2, send)

    assert ends == [("/", 200)] * 2
    assert all_there_is() == tuple(count + 1 for count in before)


def csrf_of(browser: Browser) -> dict[str, str]:
    token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', browser.text())
    assert token
    return {"csrfmiddlewaretoken": token.group(1)}
