"""Every page of the portal, in a real browser, by telephone and on a screen, in light and in the dark.

The pages are the addresses that the resolver knows: a page that nobody has told how to reach fails the first test.
`MILLRACE_PICTURES=<folder>` keeps a picture of each."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.conf import settings
from django.db import connections
from django.test import Client
from django.urls import get_resolver

from channels_partners.reports.catalogue import REPORTS
from tests.accounts.openid_provider import OpenIdProvider, openid_provider
from tests.browser.conftest import ARGUMENTS, CHROMIUM
from tests.browser.played import PASSWORD, TOKEN, Played, play
from tests.guards.permission_table import Row, _flat, _readable, rows

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(400)]
os.environ.setdefault("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
SOUND = (Path(__file__).parent / "sound.js").read_text()
PICTURES = os.environ.get("MILLRACE_PICTURES", "")
LOOKS = [(360, "light"), (360, "dark"), (1280, "dark"), (1280, "light")]

NO_PAGES = {
    "/healthz": "for programs", "/readyz": "for programs", "/metrics": "for programs",
    "/docs": "drawn by somebody else's script: looked at by itself",
    "/jobs/{job_id}/live": "a part of the job's page",
    "/r/{code}": "leads on to another page; an unknown one is among the refusals",
}  # fmt: skip
# allauth's pages by the name of their address: who goes there, or why nobody does.
ACCOUNT_PAGES = {
    "account_login": "stranger", "account_signup": "stranger", "account_inactive": "stranger",
    "account_logout": "owner", "account_email": "owner", "account_change_password": "owner",
    "account_email_verification_sent": "stranger", "account_reset_password": "stranger",
    "account_reset_password_done": "stranger", "account_reset_password_from_key_done": "stranger",
    "account_reauthenticate": "owner", "mfa_index": "owner", "socialaccount_connections": "owner",
    "socialaccount_login_cancelled": "stranger", "account_set_password": "without password",
    "socialaccount_login_error": "(refusals)", "account_confirm_email": "(refusals)",
    "account_reset_password_from_key": "(refusals)", "openid_connect_callback": "(refusals)",
    "socialaccount_signup": "(single sign-on)", "openid_connect_login": "(single sign-on)",
    "mfa_activate_totp": "(second factor)", "mfa_authenticate": "(second factor)",
    "mfa_reauthenticate": "(second factor)", "mfa_deactivate_totp": "(second factor)",
    "mfa_view_recovery_codes": "(second factor)", "mfa_generate_recovery_codes": "(second factor)",
    "mfa_download_recovery_codes": "(a file)", "account_confirm_login_code": "(log-in by code is off)",
    None: "(old addresses of the above)",
}  # fmt: skip
REFUSALS = [
    ("stranger", "/nothing/here", 404), ("owner", "/jobs/job_01h455vb4pex5vsknk084sn02q/", 404), ("viewer", "/api-keys/", 403),
    ("stranger", "/r/unknown", 404), ("stranger", "/invitations/unknown", 404), ("owner", "/ops/", 404),
    ("stranger", "/accounts/confirm-email/unknown/", 200), ("stranger", "/accounts/password/reset/key/1-unknown/", 200),
    ("stranger", "/accounts/3rdparty/login/error/", 401), ("owner", "/usage/?from=yesterday", 422),
    ("stranger", "/accounts/oidc/sso/login/callback/?state=unknown&code=1", 401),
]  # fmt: skip


def pages() -> list[Row]:
    """The permission table's pages: the guards see to it that every address stands there."""
    return [
        row for row in rows() if row.method == "GET" and not row.path.startswith("/v1/") and row.path not in NO_PAGES
    ]


def visitors_of(row: Row) -> list[str]:
    """Who looks at a page: with everything there, and with nothing."""
    if row.path == "/":
        return ["stranger", "owner", "newcomer", "partner"]
    if row.path == "/tenant/new":
        return ["nobody's"]
    if row.permission == "public":
        return ["stranger", "owner"]
    if row.permission == "ops.read":
        return ["staff"]
    if row.permission.startswith("partner."):
        return ["partner", "new partner"]
    return ["owner"] if "{" in row.path else ["owner", "newcomer"]


def addresses_of(path: str, names: dict[str, list[str]]) -> list[str]:
    """The path with each parameter's values; a parameter that the world does not know is an error here."""
    if "{" not in path:
        return [path]
    head, _, rest = path.partition("{")
    name, _, tail = rest.partition("}")
    return [found for value in names[name] for found in addresses_of(head + value + tail, names)]


def test_every_account_page_is_known_here() -> None:
    flat = _flat(get_resolver().url_patterns, "/")
    known = {pattern.name for pattern, prefix in flat if _readable(prefix).startswith("/accounts/")}

    assert known == set(ACCOUNT_PAGES)


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenIdProvider]:
    """Before the web starts, whose content security policy has to know it."""
    with openid_provider() as running:
        monkeypatch.setattr(settings, "SOCIALACCOUNT_PROVIDERS", running.settings())
        monkeypatch.setattr(settings, "FORM_TARGETS", [running.address])
        yield running


@pytest.fixture
def people(provider: OpenIdProvider, site: str) -> Iterator["People"]:
    """A browser with everybody's session."""
    if CHROMIUM is None:
        pytest.skip("NOT TESTED IN A BROWSER: no chromium here (Debian: apt-get install chromium)")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield People(browser, site, play(), provider)
        browser.close()
        connections.close_all()  # of within Playwright's event loop, which has its own


class People:
    """Everybody's browser, and what was found wrong."""

    def __init__(self, browser: Any, site: str, played: Played, provider: OpenIdProvider) -> None:
        self.browser, self.site, self.played = browser, site, played
        self.hosts = {urlsplit(site).netloc, urlsplit(provider.address).netloc}
        self.faults: list[str] = []
        self.looked_at = 0
        self._pages: dict[str, Any] = {}
        self._heard: list[str] = []

    def page(self, who: str) -> Any:
        """That person's page, logged in."""
        if who in self._pages:
            return self._pages[who]
        context = self.browser.new_context(viewport={"width": 360, "height": 740}, base_url=self.site)
        if user := self.played.people.get(who):
            client = Client()
            client.force_login(user)
            context.add_cookies([{"name": "sessionid", "value": client.cookies["sessionid"].value, "url": self.site}])
        page = self._pages[who] = context.new_page()
        page.set_default_timeout(20_000)
        page.on(
            "console", lambda m: self._heard.append(f"console: {m.text}") if m.type in {"error", "warning"} else None
        )
        page.on("pageerror", lambda error: self._heard.append(f"page: {error}"))
        page.on("request", self._watch)
        return page

    def _watch(self, request: Any) -> None:
        parts = urlsplit(request.url)
        if parts.scheme in {"http", "https"} and parts.netloc not in self.hosts:
            self._heard.append(f"a request to {request.url}")

    def drilled(self, path: str) -> str:
        """A report's rows are reached from a line of the report, whose key they want."""
        if not path.endswith("/rows"):
            return path
        page = self.page("staff")
        page.goto(path.removesuffix("rows"))
        found = page.locator("main a[href*='/rows?']").first.get_attribute("href")
        assert found, path
        return str(found)

    def visit(self, who: str, path: str, status: int = 200) -> None:
        """Go there and look."""
        answer = self.page(who).goto(path)
        if answer.status != status:
            self.faults.append(f"{who} at {path}: answers {answer.status}")
        landed = urlsplit(answer.url).path
        if status == 200 and landed != urlsplit(path).path and path != "/":
            self.faults.append(f"{who} at {path}: led to {landed}")
        self.look(who, path, refused=status >= 400)

    def look(self, who: str, path: str, *, refused: bool = False) -> None:
        """What is wrong with the page that is open, in each look."""
        page, found = self.page(who), []
        self.looked_at += 1
        page.keyboard.press("Tab")  # from now on the focus is a keyboard's, and has to be seen
        for number, (width, scheme) in enumerate(LOOKS):
            page.set_viewport_size({"width": width, "height": 740})
            page.emulate_media(color_scheme=scheme)
            found += [f"{width} {scheme}: {fault}" for fault in page.evaluate(SOUND, number % 2 == 0)]
            if PICTURES:
                name = f"{self.looked_at:03d}-{who}-{path.strip('/').replace('/', '_')[:60]}-{width}-{scheme}.png"
                page.screenshot(path=Path(PICTURES) / name.replace("?", "_"), full_page=True)
        heard = [one for one in self._heard if not (refused and "Failed to load resource" in one)]
        self._heard.clear()
        self.faults += [f"{who} at {path}: {fault}" for fault in dict.fromkeys([*found, *heard])]


def test_every_page_is_sound(people: People) -> None:
    names = people.played.names | {"name": list(REPORTS), "token": [TOKEN]}

    for row in pages():
        for path in addresses_of(row.path, names):
            for who in visitors_of(row):
                people.visit(who, people.drilled(path))
    for path in ("/ops/?from=2020-01-01&to=2020-02-01", "/ops/attributions/?status=bound"):
        people.visit("staff", path)
    people.visit("owner", f"/datasets/{names['dataset_id'][0]}/?version=1")
    _documentation(people)

    assert people.faults == [], "\n".join(people.faults)


def test_every_account_page_and_refusal_is_sound(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    people.played.people["without password"] = _without_password()
    addresses = {pattern.name: _readable(prefix) for pattern, prefix in _flat(get_resolver().url_patterns, "/")}
    for name, who in ACCOUNT_PAGES.items():
        if name and not who.startswith("("):
            people.visit(who, addresses[name])
    for who, path, status in REFUSALS:
        people.visit(who, path, status)

    _single_sign_on(people)
    _second_factor(people)
    _broken(people, monkeypatch)

    assert people.faults == [], "\n".join(people.faults)


def _documentation(people: People) -> None:
    """It is drawn within the content security policy, and from this host only."""
    page = people.page("stranger")
    page.goto("/docs")
    page.locator(".opblock").first.wait_for()
    people.faults += [f"/docs: {one}" for one in people._heard]


def _without_password() -> Any:
    from tests.factories import make_tenant, make_user

    user = make_user("sso@example.com")
    user.set_unusable_password()
    user.save()
    make_tenant("Without", owner=user)
    return user


def _single_sign_on(people: People) -> None:
    """The button leads to the provider past the content security policy, and back to the last step."""
    page = people.page("stranger")
    page.goto("/accounts/oidc/sso/login/")
    people.look("stranger", "sign-on by address")
    page.goto("/accounts/login/")
    page.click("text=Continue with Optics ID")
    page.get_by_role("heading", name="One more step").wait_for()
    people.look("stranger", "sign-on, the last step")


def _second_factor(people: People) -> None:
    """Its pages want the password again, then have something to show."""
    from tests.accounts.test_second_factor import code_for

    page = people.page("newcomer")
    page.goto("/accounts/2fa/totp/activate/")
    page.fill("input[type=password]", PASSWORD)
    page.click("main button")
    page.wait_for_url("**/2fa/totp/activate/")
    people.look("newcomer", "second factor, to set up")
    secret = page.locator("#authenticator_secret").input_value()
    page.fill("input[name=code]", code_for(secret))
    page.click("main button")
    page.wait_for_url("**/2fa/**")
    for path in ("recovery-codes/", "recovery-codes/generate/", "", "totp/deactivate/", "reauthenticate/"):
        people.visit("newcomer", f"/accounts/2fa/{path}")
    page = people.page("another stranger")
    page.goto("/accounts/login/")
    page.fill("#id_login", people.played.people["newcomer"].email)
    page.fill("#id_password", PASSWORD)
    page.click("main button.primary")
    page.wait_for_url("**/2fa/authenticate/")
    people.look("another stranger", "second factor, asked for")


def _broken(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    """A form whose token is gone, and a page that breaks."""
    page = people.page("owner")
    page.goto("/members/")
    page.evaluate("document.querySelectorAll('[name=csrfmiddlewaretoken]').forEach((one) => { one.value = 'x'; })")
    page.evaluate("document.querySelector('.foot form').submit()")
    page.get_by_role("heading", name="This form has expired").wait_for()
    people.look("owner", "a form without its token", refused=True)
    monkeypatch.setattr("accounts.selectors.audit_log", lambda _: 1 / 0)
    people.visit("owner", "/audit-log/", 500)
