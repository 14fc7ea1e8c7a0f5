"""What a stranger sees."""

from typing import Any

import pytest
from django.test import Client

from tests.portal.html import faults_of

pytestmark = pytest.mark.django_db
PUBLIC = [
    "/",
    "/accounts/login/",
    "/accounts/signup/",
    "/accounts/password/reset/",
    "/accounts/confirm-email/",
    "/dev/mail/",
]


@pytest.fixture(autouse=True)
def _keep_mail(settings: Any) -> None:
    settings.EMAIL_BACKEND = "accounts.mailbox.DatabaseEmailBackend"  # the suite's default keeps mail in memory


@pytest.mark.parametrize("path", PUBLIC)
def test_page_is_sound(client: Client, path: str) -> None:
    response = client.get(path)

    assert response.status_code == 200
    assert faults_of(response.content.decode()) == []


@pytest.mark.parametrize("path", PUBLIC)
def test_policy_forbids_everything_inline_and_foreign(client: Client, path: str) -> None:
    policy = client.get(path)["Content-Security-Policy"]

    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy


def test_missing_page_says_so_in_the_look(client: Client) -> None:
    response = client.get("/there-is-no-such-page/")

    assert response.status_code == 404
    assert faults_of(response.content.decode()) == []
    assert "There is no such page" in response.content.decode()


def test_expired_form_is_explained_and_changes_nothing() -> None:
    client = Client(enforce_csrf_checks=True)

    response = client.post("/theme", {"theme": "dark"})

    assert response.status_code == 403
    assert "This form has expired" in response.content.decode()
    assert "theme" not in response.cookies


@pytest.mark.parametrize(("chosen", "shown"), [("dark", 'data-theme="dark"'), ("light", 'data-theme="light"')])
def test_theme_is_remembered(client: Client, chosen: str, shown: str) -> None:
    client.post("/theme", {"theme": chosen})

    assert shown in client.get("/").content.decode()


def test_theme_system_forgets(client: Client) -> None:
    client.post("/theme", {"theme": "dark"})
    client.post("/theme", {"theme": "system"})

    assert "data-theme=" not in client.get("/").content.decode()


@pytest.mark.parametrize("foreign", ["https://evil.example/x", "//evil.example/x"])
def test_theme_leads_back_to_this_site_only(client: Client, foreign: str) -> None:
    response = client.post("/theme", {"theme": "dark"}, headers={"Referer": foreign})

    assert response["Location"] == "/"


def test_strange_theme_is_ignored(client: Client) -> None:
    client.cookies["theme"] = '"><script>alert(1)</script>'

    assert "alert(1)" not in client.get("/").content.decode()
