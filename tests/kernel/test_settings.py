"""Settings refuse nonsense at start-up, and production starts with nothing made up."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import redis
from django.core.cache.backends.redis import RedisCache
from django.core.exceptions import ImproperlyConfigured

from millrace.kernel import storage
from millrace.settings import env, services

ROOT = Path(__file__).resolve().parents[2]
PRODUCTION = {
    "SECRET_KEY": "k" * 50,
    "ALLOWED_HOSTS": "millrace.example.com",
    "DATABASE_URL": "postgresql://app:secret@db.internal/millrace",
    "VALKEY_URL": "redis://cache.internal/0",
    "STRIPE_SECRET_KEY": "sk_live_x",
    "STRIPE_WEBHOOK_SECRET": "whsec_x",
    "STORAGE_URL": "file:///srv/blobs",
    "PUBLIC_BASE_URL": "https://millrace.example.com",
}


def start(environment: dict[str, str], code: str = "") -> "subprocess.CompletedProcess[str]":
    """Read the production settings in a process of their own."""
    program = f"from django.conf import settings; settings.DEBUG; {code}"
    place = {"PATH": os.environ["PATH"], "PYTHONPATH": f"{ROOT / 'platform'}:{ROOT}",
             "DJANGO_SETTINGS_MODULE": "millrace.settings.production"}  # fmt: skip
    return subprocess.run(
        [sys.executable, "-c", program], env=place | environment, cwd=ROOT, capture_output=True, text=True, check=False
    )


def test_production_starts_with_everything_set() -> None:
    code = "print(settings.DEBUG, settings.CLOCK_MOVABLE, settings.SESSION_COOKIE_SECURE, settings.CSRF_COOKIE_SECURE)"
    done = start(PRODUCTION, code)

    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split() == ["False", "False", "True", "True"]


def test_single_sign_on_is_configured_by_the_environment_whole_or_not_at_all() -> None:
    code = "print(settings.SOCIALACCOUNT_PROVIDERS); print(settings.FORM_TARGETS[2:])"
    names = {
        "OIDC_SERVER_URL": "https://id.example.com/realms/a/",
        "OIDC_CLIENT_ID": "millrace",
        "OIDC_CLIENT_SECRET": "s",
    }

    without, half = start(PRODUCTION, code), start(PRODUCTION | {"OIDC_SERVER_URL": "https://id.example.com"}, code)
    done = start(PRODUCTION | names | {"OIDC_NAME": "Acme ID", "OIDC_ORIGINS": "https://login.example.com"}, code)

    assert without.stdout.splitlines() == ["{}", "[]"]
    assert half.returncode != 0
    assert "OIDC_CLIENT_ID" in half.stderr
    providers, origins = done.stdout.splitlines()
    assert "'server_url': 'https://id.example.com/realms/a'" in providers
    assert "'name': 'Acme ID'" in providers
    assert origins == "['https://id.example.com', 'https://login.example.com']"


@pytest.mark.parametrize("missing", sorted(PRODUCTION))
def test_production_refuses_to_start_without(missing: str) -> None:
    done = start({name: value for name, value in PRODUCTION.items() if name != missing})

    assert done.returncode != 0
    assert "ImproperlyConfigured" in done.stderr
    assert missing in done.stderr


@pytest.mark.parametrize(
    ("name", "value"),
    [("SECRET_KEY", "short"), ("DATABASE_URL", "mysql://x/y"), ("SECURE_SSL_REDIRECT", "maybe"), ("ALLOWED_HOSTS", " , "),
     ("ALLOWED_HOSTS", "*"), ("TRUSTED_PROXIES", "10.0.0.0/99"), ("TRUSTED_PROXIES", "the proxy"),
     ("OIDC_SERVER_URL", "http://id.example.com"), ("OIDC_SERVER_URL", "id.example.com"),
     ("API_RATE_PER_MINUTE", "many"), ("API_RATE_PER_MINUTE", "0"), ("UPLOAD_MAX_BYTES", "-1")],
)  # fmt: skip
def test_production_refuses_nonsense(name: str, value: str) -> None:
    done = start(PRODUCTION | {name: value})

    assert done.returncode != 0
    assert "ImproperlyConfigured" in done.stderr


def test_production_embeds_nothing() -> None:
    done = start(PRODUCTION, "import sys; print([name for name in sys.modules if 'embedded' in name])")

    assert done.stdout.strip() == "[]", done.stderr[-2000:]


def test_a_relative_folder_is_below_the_callers() -> None:
    done = start(PRODUCTION | {"MILLRACE_VAR": "here"}, "print(settings.VAR)")

    assert done.stdout.strip() == str(ROOT / "here"), done.stderr[-2000:]


def test_the_store_is_below_the_folder_whatever_its_name(
    monkeypatch: pytest.MonkeyPatch, settings, tmp_path: Path
) -> None:
    monkeypatch.setenv("DATABASE_URL", PRODUCTION["DATABASE_URL"])
    monkeypatch.setenv("VALKEY_URL", PRODUCTION["VALKEY_URL"])
    monkeypatch.delenv("STORAGE_URL", raising=False)
    folder = tmp_path / "a #b %41 ?c"

    settings.STORAGE_URL = services.embedded("test", folder)["STORAGE_URL"]

    storage.root.cache_clear()
    assert storage.root() == folder / "storage/test"
    storage.root.cache_clear()


def test_a_cache_that_fell_silent_holds_nobody_for_ever() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        found = services._caches(f"redis://127.0.0.1:{silent.getsockname()[1]}")["default"]
        assert found["OPTIONS"]["socket_timeout"] <= 10
        found["OPTIONS"]["socket_timeout"] = 0.01

        with pytest.raises(redis.TimeoutError):
            RedisCache(found["LOCATION"], found).get("x")


@pytest.fixture
def variable(monkeypatch: pytest.MonkeyPatch):
    return lambda value: monkeypatch.setenv("MILLRACE_TEST", value)


def test_texts(variable) -> None:
    with pytest.raises(ImproperlyConfigured, match="MILLRACE_TEST"):
        env.text("MILLRACE_TEST")
    assert env.text("MILLRACE_TEST", "d") == "d"
    variable("")
    with pytest.raises(ImproperlyConfigured):
        env.text("MILLRACE_TEST")
    variable("x")
    assert env.text("MILLRACE_TEST") == "x"


@pytest.mark.parametrize(("value", "expected"), [("1", True), ("Yes", True), ("off", False), ("0", False), ("", True)])
def test_switches(variable, value: str, expected: bool) -> None:
    variable(value)

    assert env.flag("MILLRACE_TEST", True) is expected


@pytest.mark.parametrize("value", ["2", "maybe", "-"])
def test_a_switch_that_is_neither_on_nor_off(variable, value: str) -> None:
    variable(value)

    with pytest.raises(ImproperlyConfigured, match="switch"):
        env.flag("MILLRACE_TEST")


@pytest.mark.parametrize("value", ["x", "1.5", "-1", "1e3"])
def test_a_number_that_is_none_or_too_small(variable, value: str) -> None:
    variable(value)

    with pytest.raises(ImproperlyConfigured):
        env.integer("MILLRACE_TEST", 5)


def test_lists_drop_empty_parts(variable) -> None:
    variable(" a, ,b ,")

    assert env.items("MILLRACE_TEST") == ["a", "b"]


def test_a_databases_address_is_taken_apart() -> None:
    found = env.database("postgresql://app:p%40ss@/millrace?host=%2Frun%2Fpg&sslmode=require")

    assert (found["USER"], found["PASSWORD"], found["NAME"], found["HOST"]) == ("app", "p@ss", "millrace", "/run/pg")
    assert found["OPTIONS"]["sslmode"] == "require"
    assert found["ATOMIC_REQUESTS"] is False
    assert found["DISABLE_SERVER_SIDE_CURSORS"] is True


@pytest.mark.parametrize("address", ["mysql://x/y", "", "sqlite:///x.db", "db.internal"])
def test_an_address_of_another_database_is_refused(address: str) -> None:
    with pytest.raises(ImproperlyConfigured):
        env.database(address)
