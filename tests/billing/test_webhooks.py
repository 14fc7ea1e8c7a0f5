"""Stripe's door: signed, stored before it is acknowledged, handled after; doubled, late and out of order alike."""

import json
import random
import time
from datetime import UTC, datetime, timedelta

import pytest
import stripe
from django.test import Client, override_settings

from accounts.models import Tenant
from billing.models import Invoice, Refund, StripeEvent, Subscription
from billing.sandbox.webhooks import signature
from billing.services.refunds import refund_create
from billing.stripe import inbox, invoicing
from billing.stripe.client import client
from billing.stripe.inbox import event_retry, event_store, stripe_events_process
from millrace.kernel import clock, reconcile
from millrace.kernel.models import LedgerTransaction, OutboxEvent
from millrace.kernel.tenancy import platform_scope, tenant_scope
from tests.billing.stripe_world import SECRET, World
from tests.billing.test_flow import RENEWAL, START, balances, use
from tests.factories import SYSTEM
from tests.threads import in_threads


def made_up(kind: str = "customer.subscription.updated", **thing: object) -> dict:
    body = {"id": "sub_gone", "object": "subscription"} | thing
    return {"id": f"evt_{random.random()}", "object": "event", "type": kind, "created": 1_760_000_000,
            "data": {"object": body}}  # fmt: skip


def post(body: bytes, header: str) -> int:
    answer = Client().post(
        "/webhooks/stripe", body, content_type="application/json", headers={"Stripe-Signature": header}
    )
    if answer.status_code != 200:
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert (answer.json()["status"], answer.json()["code"]) == (answer.status_code, "signature_invalid")
        assert answer.json()["detail"]
    return answer.status_code


@pytest.fixture
def door_key(db: None):
    with override_settings(STRIPE_WEBHOOK_SECRET=SECRET):
        yield


@pytest.mark.parametrize("fault", ["none", "another secret", "altered", "too old", "no header", "nonsense"])
def test_only_stripes_own_signature_opens_the_door(door_key: None, fault: str) -> None:
    body = json.dumps(made_up()).encode()
    now = int(time.time())
    header = {
        "another secret": signature("whsec_other", body, now),
        "too old": signature(SECRET, body, now - 301),
        "no header": "",
        "nonsense": "t=x,v1=y",
    }.get(fault, signature(SECRET, body, now))

    status = post(body + b" " if fault == "altered" else body, header)

    assert status == (200 if fault == "none" else 400)
    assert StripeEvent.objects.count() == (1 if fault == "none" else 0)


@pytest.mark.parametrize("body", [b"[]", b"{}", b"null", b'{"object":"event","id":"e","type":"t"}', b"\xff", b""])
def test_a_signed_body_that_is_no_event_is_refused(door_key: None, body: bytes) -> None:
    assert post(body, signature(SECRET, body, int(time.time()))) == 400
    assert not StripeEvent.objects.exists()


def test_the_door_takes_posts_only(door_key: None) -> None:
    assert Client().get("/webhooks/stripe").status_code == 405


def test_m9_the_same_event_at_once_from_many_sides_is_stored_once(real_db: None) -> None:
    event = made_up()

    results = in_threads(8, lambda _: event_store(event))

    assert sorted(map(str, results)) == ["False"] * 7 + ["True"], results
    assert StripeEvent.objects.count() == 1


def test_m10_an_event_of_a_thing_that_is_gone_is_ignored_not_failed(world: World) -> None:
    for kind, thing in (
        ("customer.subscription.updated", "sub_gone"),
        ("invoice.paid", "in_gone"),
        ("refund.created", "re_gone"),
        ("charge.dispute.created", "dp_gone"),
        ("product.updated", "prod_gone"),
    ):
        assert world.post(made_up(kind, id=thing)).status_code == 200
    world.process()

    assert set(StripeEvent.objects.values_list("state", flat=True)) == {"ignored"}


def test_m10_updated_before_created_and_paid_before_anything(world: World, tenant: Tenant) -> None:
    world.account(tenant)
    with clock.frozen(world.now), tenant_scope(tenant.pk):
        from billing.services.checkout import checkout_session_create

        session = checkout_session_create(tenant_id=tenant.pk, plan="starter", actor=SYSTEM)
    world.server.pay(session.id)
    events = world.fresh_events()

    for event in reversed(events):
        world.post(event)
        world.process()

    assert world.unhandled() == []
    with platform_scope(reason="test"):
        assert Subscription.objects.get().status == "active"
        assert Invoice.objects.get().status == "paid"
    assert balances("stripe:clearing", "revenue:subscription") == [29_900, -29_900]


def test_m3_a_payment_told_many_times_is_posted_once(world: World, tenant: Tenant) -> None:
    world.account(tenant)
    world.subscribe(tenant, "starter")
    paid = [event for event in _all_events() if event["type"] in ("invoice.paid", "invoice.payment_succeeded")]

    for number, event in enumerate(paid * 3):
        world.post(event | {"id": f"evt_again_{number}"})  # even under other ids
        world.process()

    assert balances("stripe:clearing") == [29_900]
    with platform_scope(reason="test"):
        assert OutboxEvent.objects.filter(topic="invoice.paid").count() == 1


def test_m3_racing_handlers_post_once(real_db: None, world: World, tenant: Tenant) -> None:
    world.account(tenant)
    world.subscribe(tenant, "starter")
    use(tenant, "gpu_ms", 3_600_000, START + timedelta(days=3))
    world.advance(RENEWAL, deliver=False)
    for event in world.fresh_events():
        world.post(event)

    def handle(_: int) -> int:
        with clock.frozen(world.now):
            return stripe_events_process()

    results = in_threads(4, handle)
    world.deliver()

    assert all(isinstance(result, int) for result in results), results
    assert world.unhandled() == []
    assert [invoice.total for invoice in world.invoices(tenant)] == [29_900, 31_700]
    assert balances("stripe:clearing") == [61_600]
    assert _differences() == []


def test_a_failed_event_is_kept_and_comes_back(world: World, tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    world.account(tenant)
    monkeypatch.setattr(invoicing, "invoice_sync", lambda _: (_ for _ in ()).throw(RuntimeError("down")))
    world.subscribe(tenant, "starter")
    failed = StripeEvent.objects.filter(state="pending")
    assert failed.count() >= 1
    assert "down" in failed.first().last_error

    monkeypatch.undo()
    world.now += timedelta(minutes=2)
    world.process()

    assert world.unhandled() == []
    assert balances("stripe:clearing") == [29_900]


def test_a_given_up_event_can_be_asked_for_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbox, "_MOST_ATTEMPTS", 1)
    monkeypatch.setattr(inbox, "handler_of", lambda _: lambda event: (_ for _ in ()).throw(RuntimeError("down")))
    world.post(made_up())
    world.process()
    event = StripeEvent.objects.get()
    assert event.state == "failed"
    assert _differences() == [f"Stripe's event {event.stripe_id} ({event.type}) was given up: RuntimeError: down"]

    monkeypatch.undo()
    with clock.frozen(world.now):
        event_retry(event)
    world.process()

    event.refresh_from_db()
    assert event.state == "ignored"


def test_m16_a_draft_that_cannot_be_held_is_not_acknowledged(
    world: World, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.account(tenant)
    world.subscribe(tenant, "starter")
    world.advance(RENEWAL, deliver=False)
    (created,) = [event for event in world.fresh_events() if event["type"] == "invoice.created"]
    from billing.stripe import webhooks

    def down(_: dict) -> None:
        raise stripe.APIConnectionError("no route")

    monkeypatch.setattr(webhooks, "draft_hold", down)
    assert world.post(created).status_code == 503
    assert StripeEvent.objects.filter(stripe_id=created["id"]).exists()

    monkeypatch.undo()
    assert world.post(created).status_code == 200
    assert client().v1.invoices.retrieve(created["data"]["object"]["id"]).auto_advance is False


@pytest.mark.parametrize("ours", [False, True])
def test_m16_the_draft_of_another_product_is_left_to_it(world: World, tenant: Tenant, ours: bool) -> None:
    world.account(tenant)
    subscription = world.subscribe(tenant, "starter")
    if ours:  # though somebody took our marks off it
        client().v1.subscriptions.update(subscription.stripe_id, {"metadata": ""})
    else:
        customer = subscription.billing_account.stripe_customer_id
        other: dict = {"customer": customer, "items": [{"price": subscription.price_version.stripe_price_id}]}
        other |= {"collection_method": "send_invoice", "days_until_due": 7}
        client().v1.subscriptions.cancel(subscription.stripe_id)
        client().v1.subscriptions.create(other)
    world.deliver()
    world.advance(RENEWAL, deliver=False)

    (created,) = [event for event in world.fresh_events() if event["type"] == "invoice.created"]
    assert world.post(created).status_code == 200

    assert client().v1.invoices.retrieve(created["data"]["object"]["id"]).auto_advance is not ours


def test_m16_an_invoice_finalised_without_us_loses_no_usage(world: World, tenant: Tenant) -> None:
    world.account(tenant)
    world.subscribe(tenant, "starter")
    use(tenant, "gpu_ms", 3_600_000, START + timedelta(days=3))
    world.advance(RENEWAL + timedelta(hours=3))  # our door was closed for three hours

    _, second = world.invoices(tenant)
    assert (second.status, second.total) == ("paid", 29_900)
    assert _differences() == []
    world.advance(datetime(2026, 3, 10, 9, 1, tzinfo=UTC))

    third = world.invoices(tenant)[2]
    assert (third.status, third.total) == ("paid", 29_900 + 1_800)
    assert _differences() == []


@pytest.mark.parametrize("seed", range(6))
def test_any_order_and_any_number_of_deliveries_gives_the_same_books(
    world: World, tenant: Tenant, charlie: object, seed: int
) -> None:
    chaos = random.Random(seed)
    with platform_scope(reason="the other tenant"):
        other = Tenant.objects.exclude(pk=tenant.pk).get()
    for one, plan, card in ((tenant, "starter", "pm_card_visa"), (other, "pro", "pm_card_createDispute")):
        world.account(one)
        world.subscribe(one, plan, card=card)
    for month in (2, 3):
        for number in range(chaos.randrange(3, 9)):
            at = world.now + timedelta(days=chaos.randrange(1, 20))
            use(chaos.choice([tenant, other]), "gpu_ms", chaos.randrange(10**7), at, key=f"{month}:{number}")
        world.advance(datetime(2026, month, 10, 9, 1, tzinfo=UTC), deliver=False)
        world.deliver(chaos)
    with platform_scope(reason="test"):
        invoice = chaos.choice(list(Invoice.objects.filter(tenant=tenant)))
    for part in (chaos.randrange(1, invoice.total // 2), chaos.randrange(1, invoice.total // 2)):
        refund_create(invoice_id=invoice.pk, amount=part, actor=SYSTEM, reason="test")
        world.deliver(chaos)
    with platform_scope(reason="test"):
        for dispute in client().v1.disputes.list({}).data[:1]:
            client().v1.disputes.close(dispute.id)
    world.deliver(chaos)
    world.now += timedelta(hours=2)
    world.process()

    assert world.unhandled() == []
    assert _differences() == []
    with platform_scope(reason="test"):
        assert all(invoice.status == "paid" for invoice in Invoice.objects.all())
        assert Refund.objects.filter(posted_at__isnull=False).count() == 2
        topics = list(OutboxEvent.objects.values_list("topic", flat=True))
        assert topics.count("invoice.paid") == 6
        assert topics.count("invoice.refunded") == 2
        keys = list(LedgerTransaction.objects.values_list("key", flat=True))
        assert len(keys) == len(set(keys))


def _differences() -> list[str]:
    return [line for check in reconcile.run_checks(["R2", "R3", "R4"]) for line in check.differences]


def _all_events() -> list[dict]:
    from billing.stripe.client import plain

    return [plain(event) for event in client().v1.events.list({"limit": 100}).auto_paging_iter()]
