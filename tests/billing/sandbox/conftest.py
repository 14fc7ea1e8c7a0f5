"""A sandbox, the SDK pointed at it, and an endpoint that checks every signature."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import stripe

from billing.sandbox.testing import SandboxServer

WEBHOOK_SECRET = "whsec_for_tests"
NEW_YEAR = 1_767_225_600  # 2026-01-01 00:00 UTC
DAY = 86_400


class Receiver:
    """An endpoint: keeps the events whose signature holds, answers what it is told to."""

    def __init__(self) -> None:
        self.events: list[Any] = []
        self.answers: list[int] = []  # statuses for the next requests; 200 when there are none
        self.refuse_all = False
        self.answering = threading.Event()  # cleared: it takes requests and does not answer
        self.answering.set()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                receiver.answering.wait()
                body = self.rfile.read(int(self.headers["Content-Length"]))
                event = stripe.Webhook.construct_event(body, self.headers["Stripe-Signature"], WEBHOOK_SECRET)
                status = 503 if receiver.refuse_all else receiver.answers.pop(0) if receiver.answers else 200
                if status == 200:
                    receiver.events.append(event)
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args: Any) -> None:
                """Keep the test output clean."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/webhooks"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def types(self) -> list[str]:
        return [event.type for event in self.events]

    def close(self) -> None:
        self.answering.set()
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    endpoint = Receiver()
    yield endpoint
    endpoint.close()


@pytest.fixture
def server(receiver: Receiver) -> Iterator[SandboxServer]:
    with SandboxServer(webhook_url=receiver.url, webhook_secret=WEBHOOK_SECRET) as running:
        yield running


def sdk(server: SandboxServer, key: str | None = None, retries: int = 0) -> Any:
    """The SDK's v1 services for this server."""
    bases = {"api": server.base_url}
    return stripe.StripeClient(key or server.secret_key, base_addresses=bases, max_network_retries=retries).v1


@pytest.fixture
def api(server: SandboxServer) -> Any:
    return sdk(server)


def make_price(api: Any, amount: int = 10_000, currency: str = "cny", interval: str = "month") -> Any:
    product = api.products.create({"name": f"Plan at {amount}"})
    recurring = {"interval": interval}
    return api.prices.create(
        {"product": product.id, "currency": currency, "unit_amount": amount, "recurring": recurring}
    )


def make_customer(api: Any, card: str | None = "pm_card_visa", clock: str | None = None) -> Any:
    given: dict[str, Any] = {"email": "alice@example.com"}
    if clock:
        given["test_clock"] = clock
    if card:
        given |= {"payment_method": card, "invoice_settings": {"default_payment_method": card}}
    return api.customers.create(given)


def swap_card(api: Any, customer: Any, card: str) -> Any:
    """Attach a card and make it the customer's default."""
    method = api.payment_methods.attach(card, {"customer": customer.id})
    api.customers.update(customer.id, {"invoice_settings": {"default_payment_method": method.id}})
    return method
