"""A Stripe of the test's own: the sandbox in this process, its events carried to our webhook by hand.

Events are taken from the sandbox's list and posted, signed, through Django's test client: so a test decides which
arrive, how often and in which order.
"""

import json
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import stripe
from django.conf import settings
from django.test import Client

from accounts.models import Tenant
from billing.models import BillingAccount, Invoice, StripeEvent, Subscription
from billing.sandbox.testing import SandboxServer
from billing.sandbox.webhooks import signature
from billing.services.accounts import billing_account_set_terms
from billing.services.checkout import checkout_session_create
from billing.stripe.client import client, plain
from billing.stripe.inbox import stripe_events_process
from millrace.kernel import clock, outbox
from millrace.kernel.tenancy import platform_scope, tenant_scope
from tests.billing.factories import make_billing
from tests.factories import SYSTEM

SECRET = "whsec_tests"


class World:
    """The sandbox, one test clock in it, and the road between it and us."""

    def __init__(self, server: SandboxServer, start: datetime) -> None:
        self.server = server
        self.now = start
        clock_params: dict[str, Any] = {"frozen_time": int(start.timestamp())}
        self.clock = client().v1.test_helpers.test_clocks.create(clock_params).id
        self.seen: set[str] = set()
        self.web = Client()

    def account(self, tenant: Tenant, **terms: Any) -> BillingAccount:
        """The tenant's account on this world's clock."""
        outbox.drain()  # the news of the tenant, made at the machine's own time
        account = make_billing(tenant).billing_account
        return billing_account_set_terms(account_id=account.pk, actor=SYSTEM, clock=self.clock, **terms)

    def subscribe(
        self, tenant: Tenant, plan: str, *, card: str = "pm_card_visa", by_payer: bool = False
    ) -> Subscription:
        """Buy a plan through Checkout, and hear of it."""
        with clock.frozen(self.now), tenant_scope(tenant.pk):
            session = checkout_session_create(tenant_id=tenant.pk, plan=plan, actor=SYSTEM, by_payer=by_payer)
        self.server.pay(session.id, card)
        self.deliver()
        with platform_scope(reason="test"):
            return Subscription.objects.filter(tenant=tenant).latest("started_at")

    def advance(self, to: datetime, *, deliver: bool = True) -> None:
        """Let Stripe's time pass, and hear of what happened."""
        self.server.advance(self.clock, int(to.timestamp()))
        self.now = to
        if deliver:
            self.deliver()

    def fresh_events(self) -> list[dict]:
        """Events that were not handed out yet, in the order in which they happened."""
        found = [plain(event) for event in client().v1.events.list({"limit": 100}).auto_paging_iter()]
        fresh = [event for event in reversed(found) if event["id"] not in self.seen]
        self.seen |= {event["id"] for event in fresh}
        return fresh

    def post(self, event: dict, **kwargs: Any) -> Any:
        """One signed delivery to our door."""
        body = json.dumps(event)
        headers = {"Stripe-Signature": signature(SECRET, body.encode(), int(time.time()))} | kwargs
        with clock.frozen(self.now):
            return self.web.post("/webhooks/stripe", body, content_type="application/json", headers=headers)

    def process(self) -> None:
        """Handle what is in the inbox and tell the rooms."""
        with clock.frozen(self.now):
            stripe_events_process()
            outbox.drain()

    def deliver(self, chaos: random.Random | None = None) -> None:
        """Carry all fresh events over until there are none; with `chaos` doubled, held back and out of order."""
        while events := self.fresh_events():
            if chaos is not None:
                events += chaos.sample(events, k=len(events) // 2)
                chaos.shuffle(events)
            for event in events:
                assert self.post(event).status_code == 200
                if chaos is None or chaos.random() < 0.4:
                    self.process()
            self.process()

    def unhandled(self) -> list[str]:
        """What is left to do or was given up, with its error."""
        rows = StripeEvent.objects.filter(state__in=("pending", "failed"))
        return [f"{row.type}: {row.last_error}" for row in rows]

    def invoices(self, tenant: Tenant) -> list[Invoice]:
        """The tenant's invoices, oldest first."""
        with platform_scope(reason="test"):
            return list(Invoice.objects.filter(tenant=tenant).order_by("period_end", "id"))


@contextmanager
def stripe_world(start: datetime = datetime(2026, 1, 10, 9, tzinfo=UTC)) -> Iterator[World]:
    """A world that begins at `start`, with the settings pointed at it."""
    before = settings.STRIPE_API_BASE, settings.STRIPE_SECRET_KEY, settings.STRIPE_WEBHOOK_SECRET
    with SandboxServer() as server:
        settings.STRIPE_API_BASE, settings.STRIPE_SECRET_KEY = server.base_url, server.secret_key
        settings.STRIPE_WEBHOOK_SECRET = SECRET
        try:
            yield World(server, start)
        finally:
            settings.STRIPE_API_BASE, settings.STRIPE_SECRET_KEY, settings.STRIPE_WEBHOOK_SECRET = before


__all__ = ["SECRET", "World", "stripe", "stripe_world"]
