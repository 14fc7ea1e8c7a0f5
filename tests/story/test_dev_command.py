"""`manage.py dev`: what it starts, where links lead, what is for sale, and what time it is on the demo's data."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from billing.models import Plan, PriceVersion
from billing.sandbox.testing import SandboxServer
from millrace.kernel import clock
from millrace.story import business_time
from millrace.story.management.commands import dev

AT = datetime(2026, 1, 31, 4, tzinfo=UTC)
SOON = timedelta(seconds=30)


@pytest.fixture
def sandbox(settings) -> Iterator[SandboxServer]:
    """Stripe is a sandbox of the test's own."""
    with SandboxServer() as server:
        settings.STRIPE_API_BASE, settings.STRIPE_SECRET_KEY = server.base_url, server.secret_key
        yield server


@pytest.fixture(autouse=True)
def _real_time() -> Iterator[None]:
    yield
    clock.travel_back()


def stripes_time() -> datetime:
    """What the sandbox's clock says."""
    return datetime.fromtimestamp(business_time.sandbox("GET", "/_sandbox/clock")["now"], UTC)


def test_links_lead_to_the_port_that_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PUBLIC_BASE_URL", raising=False)
    assert dev.environment(8001)["PUBLIC_BASE_URL"] == "http://127.0.0.1:8001"

    monkeypatch.setenv("PUBLIC_BASE_URL", "https://tunnel.example")
    assert dev.environment(8001)["PUBLIC_BASE_URL"] == "https://tunnel.example"


def test_somebody_answers_every_kind_of_work() -> None:
    commands = {program.name: list(program.command) for program in dev.programs(8000)}

    assert commands.keys() == {"web", "tasks", "beat", "worker", "serve"}
    assert "gpu,cpu" in commands["worker"]


def test_the_example_catalogue_is_offered_once_where_nothing_is_for_sale(db: None) -> None:
    (line,) = dev.offer_something()

    assert "starter" in line
    assert Plan.objects.filter(is_public=True, prices__isnull=False).exists()
    known = PriceVersion.objects.count()
    assert dev.offer_something() == []
    assert PriceVersion.objects.count() == known


def test_a_currency_without_examples_is_said_and_nothing_is_sold(db: None, settings) -> None:
    settings.BILLING_CURRENCY = "JPY"

    (line,) = dev.offer_something()

    assert "JPY" in line
    assert not PriceVersion.objects.exists()


def test_business_time_stops_and_goes_on(sandbox: SandboxServer, tmp_path: Path) -> None:
    business_time.sandbox("POST", "/_sandbox/clock", {"now": int(AT.timestamp())})  # as the demo leaves it

    with business_time.resumed(tmp_path, AT) as began:
        assert began == AT
        assert AT <= clock.now() < AT + SOON
        assert abs(stripes_time() - AT) < SOON
        business_time.move_to(AT + timedelta(hours=2))
    assert abs(clock.now() - datetime.now(UTC)) < SOON

    with business_time.resumed(tmp_path, AT) as began:
        assert AT + timedelta(hours=2) <= began < AT + timedelta(hours=2) + SOON
        assert abs(stripes_time() - began) < SOON


def test_business_time_follows_a_sandbox_that_has_billed_meanwhile(sandbox: SandboxServer, tmp_path: Path) -> None:
    later = AT + timedelta(days=40)
    business_time.sandbox("POST", "/_sandbox/clock", {"now": int(later.timestamp())})

    with business_time.resumed(tmp_path, AT) as began:
        assert abs(began - later) < SOON
        assert abs(clock.now() - later) < SOON


class Web(BaseHTTPRequestHandler):
    """A web that says whether it is ready, and no more."""

    status = 503

    def do_GET(self) -> None:
        self.send_response(self.status if self.path == "/readyz" else 404)
        self.end_headers()

    def log_message(self, *words: object) -> None:
        """Nothing: the test's output is pytest's."""


def test_the_sandbox_is_pointed_here_once_the_web_is_ready(
    sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoints = "/_sandbox/state?kind=webhook_endpoint"
    with ThreadingHTTPServer(("127.0.0.1", 0), Web) as web:
        port = web.server_address[1]
        threading.Thread(target=web.serve_forever, daemon=True).start()

        assert dev.point_sandbox_at(port) is False
        assert business_time.sandbox("GET", endpoints)["count"] == 0
        monkeypatch.setattr(Web, "status", 200)
        assert dev.point_sandbox_at(port) is True

        (endpoint,) = business_time.sandbox("GET", endpoints)["data"]
        assert endpoint["url"] == f"http://127.0.0.1:{port}/webhooks/stripe"
        web.shutdown()


def test_the_real_stripe_is_left_alone(settings) -> None:
    settings.STRIPE_API_BASE = "https://api.stripe.com"

    assert dev.point_sandbox_at(8000) is True
