"""The second factor: TOTP, recovery codes, and secrets that a copy of the database does not give away."""

import time

import pytest
from allauth.mfa.adapter import get_adapter
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value, yield_hotp_counters_from_time
from cryptography.fernet import InvalidToken
from django.test import Client

from accounts.models import User
from tests.factories import logged_in

PASSWORD = "correct horse battery"


def code_for(secret: str) -> str:
    return format_hotp_value(hotp_value(secret, next(iter(yield_hotp_counters_from_time()))))


@pytest.fixture
def secret(alice: User) -> str:
    """Alice's TOTP secret, after she has set it up on the pages."""
    browser = logged_in(alice)
    reauthenticated = browser.post(
        "/accounts/reauthenticate/?next=/accounts/2fa/totp/activate/", {"password": PASSWORD}
    )
    assert reauthenticated["Location"] == "/accounts/2fa/totp/activate/"
    page = browser.get("/accounts/2fa/totp/activate/")
    found = page.context["form"].secret
    assert browser.post("/accounts/2fa/totp/activate/", {"code": code_for(found)}).status_code == 302
    return found


def log_in(browser: Client) -> str:
    """The address that the password leads to."""
    return browser.post("/accounts/login/", {"login": "alice@example.com", "password": PASSWORD})["Location"]


def test_the_password_alone_does_not_log_in(secret: str) -> None:
    browser = Client()

    assert log_in(browser) == "/accounts/2fa/authenticate/"

    assert browser.get("/v1/me").status_code == 401


def test_a_wrong_code_does_not_log_in(secret: str) -> None:
    browser = Client()
    log_in(browser)
    wrong = f"{(int(code_for(secret)) + 1) % 1_000_000:06d}"

    assert browser.post("/accounts/2fa/authenticate/", {"code": wrong}).status_code == 200
    assert browser.get("/v1/me").status_code == 401


def test_the_code_logs_in(secret: str, monkeypatch: pytest.MonkeyPatch) -> None:
    browser = Client()
    log_in(browser)
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 60)  # the code of the set-up cannot be used again

    answer = browser.post("/accounts/2fa/authenticate/", {"code": code_for(secret)})

    assert answer["Location"] == "/"
    assert browser.get("/v1/me").json()["user"]["email"] == "alice@example.com"


def test_a_recovery_code_logs_in_once(secret: str, alice: User) -> None:
    codes = RecoveryCodes(Authenticator.objects.get(user=alice, type="recovery_codes")).get_unused_codes()
    first, second = Client(), Client()
    log_in(first)
    log_in(second)

    assert first.post("/accounts/2fa/authenticate/", {"code": codes[0]})["Location"] == "/"
    assert second.post("/accounts/2fa/authenticate/", {"code": codes[0]}).status_code == 200
    assert second.get("/v1/me").status_code == 401


def test_stored_secrets_are_sealed(secret: str, alice: User) -> None:
    stored = [str(row.data) for row in Authenticator.objects.filter(user=alice)]

    assert stored
    assert all(secret not in text for text in stored)


def test_another_installations_key_opens_nothing(db: None, settings) -> None:
    sealed = get_adapter().encrypt("JBSWY3DPEHPK3PXP")
    assert get_adapter().decrypt(sealed) == "JBSWY3DPEHPK3PXP"

    settings.SECRET_KEY = "another installation"

    with pytest.raises(InvalidToken):
        get_adapter().decrypt(sealed)
