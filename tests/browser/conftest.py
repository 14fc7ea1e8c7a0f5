"""A whole installation for a browser: the web in this process, Stripe's sandbox, worker and serving as programs."""

import shutil
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn
from django.conf import settings
from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler
from django.core.asgi import get_asgi_application
from django.db import connections

from billing.services.catalogue import catalogue_seed
from millrace.kernel import clock
from tests.billing.stripe_world import World, stripe_world
from tests.mlops.programs import start, start_worker

__all__ = ["start", "start_worker"]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
ARGUMENTS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]


@pytest.fixture
def world(real_db: None) -> Iterator[World]:
    """Stripe at the machine's own time, with the example catalogue for sale."""
    catalogue_seed()
    with stripe_world(clock.now()) as made:
        yield made


@pytest.fixture
def site(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The web's address. Started after the sandbox, so that its content security policy knows where forms may lead."""
    monkeypatch.setattr(settings, "EMAIL_BACKEND", "accounts.mailbox.DatabaseEmailBackend")
    application = ASGIStaticFilesHandler(get_asgi_application())
    server = uvicorn.Server(uvicorn.Config(application, port=0, log_level="warning", lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 30
    while not server.started and time.monotonic() < deadline:
        time.sleep(0.05)
    address = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    monkeypatch.setattr(settings, "PUBLIC_BASE_URL", address)
    yield address
    server.should_exit = True
    thread.join(30)
    _hang_up()


def _hang_up() -> None:
    """End the server threads' database connections: their role is the application's, which may do that to its own."""
    with connections["default"].cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND usename = current_user AND pid <> pg_backend_pid()"
        )


@pytest.fixture
def page(site: str) -> Iterator[Any]:
    """A page of Debian's Chromium; whatever it complains about fails the test."""
    if CHROMIUM is None:
        pytest.skip("NOT TESTED IN A BROWSER: no chromium here (Debian: apt-get install chromium)")
    from playwright.sync_api import sync_playwright

    complaints: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        opened = browser.new_context(viewport={"width": 1280, "height": 900}, base_url=site).new_page()
        opened.set_default_timeout(60_000)
        opened.on(
            "console",
            lambda m: complaints.append(f"{m.type}: {m.text} {m.location}") if m.type in {"error", "warning"} else None,
        )
        opened.on("pageerror", lambda error: complaints.append(f"page: {error}"))
        opened.on("dialog", lambda dialog: dialog.accept())
        yield opened
        browser.close()
    assert complaints == []
