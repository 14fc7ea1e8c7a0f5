"""Checkout, the billing portal and the other pages, as a browser without JavaScript uses them."""

from typing import Any

import httpx
import pytest
import stripe

from billing.sandbox.testing import SandboxServer
from tests.billing.sandbox.conftest import DAY, Receiver, make_customer, make_price

CARD = {"number": "4242 4242 4242 4242", "expiry": "04 / 31", "cvc": "123", "email": "buyer@example.com"}


def _session(api: Any, **more: Any) -> Any:
    given = {"mode": "subscription", "line_items": [{"price": make_price(api).id, "quantity": 1}]}
    given |= {"success_url": "http://shop.test/done?s={CHECKOUT_SESSION_ID}", "cancel_url": "http://shop.test/back"}
    return api.checkout.sessions.create(given | more)


def test_page_takes_a_card_and_returns_to_the_shop(server: SandboxServer, api: Any, receiver: Receiver) -> None:
    session = _session(api, client_reference_id="ten_1", subscription_data={"metadata": {"tenant": "ten_1"}})
    page = httpx.get(session.url)

    answer = httpx.post(session.url, data=CARD)

    assert "CNY 100.00" in page.text
    assert "<script" not in page.text
    assert answer.status_code == 303
    assert answer.headers["location"] == f"http://shop.test/done?s={session.id}"
    done = api.checkout.sessions.retrieve(session.id, {"expand": ["subscription", "customer", "line_items"]})
    assert (done.status, done.payment_status, done.client_reference_id) == ("complete", "paid", "ten_1")
    assert (done.subscription.status, done.subscription.metadata["tenant"]) == ("active", "ten_1")
    assert done.customer.email == "buyer@example.com"
    assert done.line_items.data[0].amount_total == 10_000
    server.flush()
    assert receiver.types().count("checkout.session.completed") == 1


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("number", "4000000000000002", "declined"),
        ("number", "4242424242424241", "incorrect"),
        ("number", "4111111111111111", "test mode"),
        ("expiry", "13/31", "expiry"),
        ("cvc", "x", "security code"),
        ("email", "", "e-mail"),
    ],
)
def test_refused_card_leaves_the_session_open(api: Any, field: str, value: str, words: str) -> None:
    session = _session(api)

    answer = httpx.post(session.url, data=CARD | {field: value})

    assert answer.status_code in (402, 422)
    assert words in answer.text.lower()
    assert api.checkout.sessions.retrieve(session.id).status == "open"
    assert api.subscriptions.list({"status": "all"}).data == []


def test_card_that_attaches_but_fails_makes_no_subscription(server: SandboxServer, api: Any) -> None:
    session = _session(api)

    answer = httpx.post(session.url, data=CARD | {"number": "4000000000000341"})

    assert answer.status_code == 402
    assert api.subscriptions.list({"status": "all"}).data == []
    assert httpx.post(session.url, data=CARD).status_code == 303


def test_anchor_makes_the_first_charge_wait(server: SandboxServer, api: Any) -> None:
    anchor = api.test_helpers.test_clocks.create({"frozen_time": 1}).created + 10 * DAY
    data = {"billing_cycle_anchor": anchor, "proration_behavior": "none"}
    session = _session(api, customer=make_customer(api, card=None).id, subscription_data=data)

    paid = server.pay(session.id)

    assert (session.amount_total, paid["payment_status"]) == (0, "no_payment_required")
    made = api.subscriptions.retrieve(paid["subscription"])
    assert (made.status, made["items"].data[0].current_period_end) == ("active", anchor)
    assert api.charges.list().data == []


def test_payment_mode_and_promotion_codes(server: SandboxServer, api: Any) -> None:
    coupon = api.coupons.create({"amount_off": 2_500, "currency": "cny", "duration": "once"})
    code = api.promotion_codes.create({"promotion": {"type": "coupon", "coupon": coupon.id}, "code": "SPRING"})
    item = {"quantity": 2, "price_data": {"currency": "cny", "unit_amount": 5_000, "product_data": {"name": "Credits"}}}
    session = _session(api, mode="payment", line_items=[item], discounts=[{"promotion_code": code.id}])

    paid = server.pay(session.id, email="b@example.com")

    assert api.payment_intents.retrieve(paid["payment_intent"]).amount_received == 7_500


def test_setup_mode_keeps_the_card(server: SandboxServer, api: Any) -> None:
    customer = make_customer(api, card=None)
    session = api.checkout.sessions.create(
        {"mode": "setup", "customer": customer.id, "currency": "cny", "success_url": "http://shop.test/"}
    )

    server.pay(session.id)

    assert len(api.customers.payment_methods.list(customer.id).data) == 1


def test_paid_session_cannot_be_paid_again(server: SandboxServer, api: Any) -> None:
    session = _session(api)
    server.pay(session.id, email="b@example.com")

    with pytest.raises(httpx.HTTPStatusError):
        server.pay(session.id, email="b@example.com")

    assert len(api.subscriptions.list({"status": "all"}).data) == 1


def test_portal_changes_the_card_and_cancels(api: Any) -> None:
    customer = make_customer(api)
    subscription = api.subscriptions.create({"customer": customer.id, "items": [{"price": make_price(api).id}]})
    session = api.billing_portal.sessions.create({"customer": customer.id, "return_url": "http://shop.test/"})

    httpx.post(session.url, data=CARD | {"number": "5555555555554444", "action": "card"})
    httpx.post(session.url, data={"action": "cancel", "subscription": subscription.id})

    default = api.customers.retrieve(customer.id).invoice_settings.default_payment_method
    assert api.payment_methods.retrieve(default).card.brand == "mastercard"
    assert api.subscriptions.retrieve(subscription.id).cancel_at_period_end is True
    assert "mastercard ending in 4444" in httpx.get(session.url).text


def test_bank_question_can_be_answered(api: Any) -> None:
    intent = api.payment_intents.create(
        {"amount": 900, "currency": "cny", "payment_method": "pm_card_authenticationRequired", "confirm": True}
    )

    httpx.post(intent.next_action.redirect_to_url.url, data={"answer": "complete"}).raise_for_status()

    assert api.payment_intents.retrieve(intent.id).status == "succeeded"


def test_page_escapes_what_a_shop_names_its_things(api: Any) -> None:
    item = {"quantity": 1, "price_data": {"currency": "cny", "unit_amount": 1, "product_data": {"name": "<b>x</b>"}}}
    session = _session(api, mode="payment", line_items=[item])

    assert "<b>x</b>" not in httpx.get(session.url).text


def test_used_up_promotion_code_is_refused(server: SandboxServer, api: Any) -> None:
    coupon = api.coupons.create({"percent_off": 10, "duration": "once"})
    given = {"promotion": {"type": "coupon", "coupon": coupon.id}, "code": "ONE", "max_redemptions": 1}
    code = api.promotion_codes.create(given)
    server.pay(_session(api, discounts=[{"promotion_code": code.id}]).id, email="a@example.com")

    with pytest.raises(stripe.InvalidRequestError) as refusal:
        _session(api, discounts=[{"promotion_code": code.id}])

    assert refusal.value.code == "promotion_code_expired"
