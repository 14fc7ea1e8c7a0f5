"""A subscription from sign-up to its end, on a test clock."""

from typing import Any

import httpx
import pytest
import stripe

from billing.sandbox.periods import add_months
from tests.billing.sandbox.conftest import DAY, NEW_YEAR, Receiver, make_customer, make_price, swap_card

FEBRUARY = add_months(NEW_YEAR, 1)


@pytest.fixture
def clock(api: Any) -> Any:
    return api.test_helpers.test_clocks.create({"frozen_time": NEW_YEAR})


def _cycle_invoice(api: Any, subscription: Any) -> Any:
    return api.invoices.list({"subscription": subscription.id}).data[0]


def test_first_invoice_is_paid_at_once(api: Any, clock: Any) -> None:
    customer = make_customer(api, clock=clock.id)

    made = api.subscriptions.create(
        {"customer": customer.id, "items": [{"price": make_price(api).id}], "expand": ["latest_invoice"]}
    )

    invoice = made.latest_invoice
    assert (made.status, invoice.status, invoice.billing_reason) == ("active", "paid", "subscription_create")
    assert (invoice.total, invoice.amount_paid, invoice.amount_remaining) == (10_000, 10_000, 0)
    assert invoice.parent.subscription_details.subscription == made.id
    item = made["items"].data[0]
    assert (item.current_period_start, item.current_period_end) == (NEW_YEAR, FEBRUARY)
    line = invoice.lines.data[0]
    assert line.parent.subscription_item_details.subscription_item == item.id
    assert line.pricing.price_details.price == item.price.id


def test_cycle_invoice_is_a_draft_for_an_hour_and_takes_items(
    server: Any, api: Any, clock: Any, receiver: Receiver
) -> None:
    customer = make_customer(api, clock=clock.id)
    subscription = api.subscriptions.create({"customer": customer.id, "items": [{"price": make_price(api).id}]})

    server.advance(clock.id, FEBRUARY + 60)

    invoice = _cycle_invoice(api, subscription)
    assert (invoice.status, invoice.billing_reason) == ("draft", "subscription_cycle")
    assert (invoice.period_start, invoice.period_end) == (NEW_YEAR, FEBRUARY)
    assert invoice.automatically_finalizes_at == FEBRUARY + 3_600
    api.invoice_items.create(
        {"customer": customer.id, "invoice": invoice.id, "amount": 2_345, "currency": "cny", "description": "GPU time"}
    )
    server.flush()
    server.advance(clock.id, FEBRUARY + 3_700)
    invoice = api.invoices.retrieve(invoice.id)
    assert (invoice.status, invoice.total) == ("paid", 12_345)
    assert invoice.status_transitions.finalized_at == FEBRUARY + 3_600
    server.flush()
    wanted = ["invoice.created", "invoice.finalized", "invoice.paid", "invoice.payment_succeeded"]
    assert set(wanted) <= set(receiver.types())


def test_draft_without_auto_advance_waits_for_its_maker(server: Any, api: Any, clock: Any) -> None:
    customer = make_customer(api, clock=clock.id)
    subscription = api.subscriptions.create({"customer": customer.id, "items": [{"price": make_price(api).id}]})
    server.advance(clock.id, FEBRUARY + 60)
    invoice = _cycle_invoice(api, subscription)

    api.invoices.update(invoice.id, {"auto_advance": False})
    server.advance(clock.id, FEBRUARY + 3 * DAY)

    assert api.invoices.retrieve(invoice.id).status == "draft"
    assert api.invoices.finalize_invoice(invoice.id).status == "open"
    with pytest.raises(stripe.InvalidRequestError, match="no longer editable"):
        api.invoice_items.create({"customer": customer.id, "invoice": invoice.id, "amount": 1, "currency": "cny"})
    assert api.invoices.retrieve(invoice.id).total == 10_000
    assert api.invoices.pay(invoice.id).status == "paid"


def test_endpoint_that_refuses_the_draft_holds_it_back(server: Any, api: Any, clock: Any, receiver: Receiver) -> None:
    customer = make_customer(api, clock=clock.id)
    subscription = api.subscriptions.create({"customer": customer.id, "items": [{"price": make_price(api).id}]})
    server.flush()
    receiver.refuse_all = True

    server.advance(clock.id, FEBRUARY + 2 * 3_600)

    assert _cycle_invoice(api, subscription).status == "draft"
    receiver.refuse_all = False
    server.flush()
    server.advance(clock.id, FEBRUARY + 4 * 3_600)
    assert _cycle_invoice(api, subscription).status == "paid"


def test_declined_renewal_goes_past_due_and_recovers(server: Any, api: Any, clock: Any, receiver: Receiver) -> None:
    customer = make_customer(api, clock=clock.id)
    subscription = api.subscriptions.create({"customer": customer.id, "items": [{"price": make_price(api).id}]})
    swap_card(api, customer, "pm_card_chargeCustomerFail")

    server.advance(clock.id, FEBRUARY + 2 * 3_600)

    invoice = _cycle_invoice(api, subscription)
    assert (invoice.status, invoice.attempt_count) == ("open", 1)
    assert invoice.next_payment_attempt == FEBRUARY + 3_600 + 3 * DAY
    assert api.subscriptions.retrieve(subscription.id).status == "past_due"
    with pytest.raises(stripe.CardError) as refusal:
        api.invoices.pay(invoice.id)
    assert (refusal.value.code, refusal.value.http_status) == ("card_declined", 402)
    swap_card(api, customer, "pm_card_visa")
    assert api.invoices.pay(invoice.id).status == "paid"
    assert api.subscriptions.retrieve(subscription.id).status == "active"
    server.flush()
    assert receiver.types().count("invoice.payment_failed") == 2


def test_retry_by_schedule_collects(server: Any, api: Any, clock: Any) -> None:
    customer = make_customer(api, clock=clock.id)
    subscription = api.subscriptions.create({"customer": customer.id, "items": [{"price": make_price(api).id}]})
    swap_card(api, customer, "pm_card_chargeCustomerFail")
    server.advance(clock.id, FEBRUARY + 2 * 3_600)
    swap_card(api, customer, "pm_card_visa")

    server.advance(clock.id, FEBRUARY + 4 * DAY)

    invoice = _cycle_invoice(api, subscription)
    assert (invoice.status, invoice.attempt_count, invoice.next_payment_attempt) == ("paid", 2, None)


def test_a_card_changed_in_the_portal_serves_the_open_invoice_too(server: Any, api: Any, clock: Any) -> None:
    customer = make_customer(api, clock=clock.id)
    card = api.payment_methods.attach("pm_card_chargeCustomerFail", {"customer": customer.id})
    subscription = api.subscriptions.create(
        {"customer": customer.id, "items": [{"price": make_price(api).id}], "default_payment_method": card.id,
         "billing_cycle_anchor": FEBRUARY, "proration_behavior": "none"}
    )  # fmt: skip
    server.advance(clock.id, FEBRUARY + 2 * 3_600)
    page = api.billing_portal.sessions.create({"customer": customer.id}).url

    httpx.post(page, data={"action": "card", "number": "4242424242424242", "expiry": "12/34", "cvc": "123"})
    server.advance(clock.id, FEBRUARY + 4 * DAY)

    invoice = _cycle_invoice(api, subscription)
    assert (invoice.status, invoice.attempt_count, invoice.default_payment_method) == ("paid", 2, None)


def test_retries_that_all_fail_end_the_subscription(server: Any, api: Any, clock: Any) -> None:
    customer = make_customer(api, clock=clock.id)
    subscription = api.subscriptions.create({"customer": customer.id, "items": [{"price": make_price(api).id}]})
    swap_card(api, customer, "pm_card_chargeCustomerFail")

    server.advance(clock.id, FEBRUARY + 20 * DAY)

    ended = api.subscriptions.retrieve(subscription.id)
    assert (ended.status, ended.cancellation_details.reason) == ("canceled", "payment_failed")
    assert _cycle_invoice(api, subscription).attempt_count == 4


def test_cancel_at_period_end(server: Any, api: Any, clock: Any, receiver: Receiver) -> None:
    customer = make_customer(api, clock=clock.id)
    subscription = api.subscriptions.create({"customer": customer.id, "items": [{"price": make_price(api).id}]})

    marked = api.subscriptions.update(subscription.id, {"cancel_at_period_end": True})
    server.advance(clock.id, FEBRUARY + 60)

    assert (marked.status, marked.cancel_at) == ("active", FEBRUARY)
    ended = api.subscriptions.retrieve(subscription.id)
    assert (ended.status, ended.ended_at) == ("canceled", FEBRUARY)
    assert len(api.invoices.list({"subscription": subscription.id}).data) == 1
    server.flush()
    assert receiver.types().count("customer.subscription.deleted") == 1


def test_trial_then_first_charge(server: Any, api: Any, clock: Any) -> None:
    customer = make_customer(api, clock=clock.id)

    subscription = api.subscriptions.create(
        {
            "customer": customer.id,
            "items": [{"price": make_price(api).id}],
            "trial_period_days": 14,
            "expand": ["latest_invoice"],
        }
    )
    server.advance(clock.id, NEW_YEAR + 14 * DAY + 2 * 3_600)

    assert (subscription.status, subscription.latest_invoice.total) == ("trialing", 0)
    later = api.subscriptions.retrieve(subscription.id, {"expand": ["latest_invoice"]})
    assert (later.status, later.latest_invoice.total, later.latest_invoice.status) == ("active", 10_000, "paid")
    assert later["items"].data[0].current_period_end == add_months(NEW_YEAR + 14 * DAY, 1)


def test_anchor_without_proration_charges_nothing_until_the_anchor(server: Any, api: Any, clock: Any) -> None:
    customer = make_customer(api, clock=clock.id)
    anchor = NEW_YEAR + 27 * DAY

    subscription = api.subscriptions.create(
        {
            "customer": customer.id,
            "items": [{"price": make_price(api).id}],
            "billing_cycle_anchor": anchor,
            "proration_behavior": "none",
        }
    )
    server.advance(clock.id, anchor + 60)

    assert (subscription.status, subscription.latest_invoice) == ("active", None)
    invoice = _cycle_invoice(api, subscription)
    assert (invoice.total, invoice.period_start, invoice.period_end) == (10_000, NEW_YEAR, anchor)


def test_upgrade_is_prorated_by_the_second(server: Any, api: Any, clock: Any) -> None:
    customer = make_customer(api, clock=clock.id)
    small, large = make_price(api, 31_000), make_price(api, 62_000)
    subscription = api.subscriptions.create({"customer": customer.id, "items": [{"price": small.id}]})
    server.advance(clock.id, NEW_YEAR + 10 * DAY)
    change = {"items": [{"id": subscription["items"].data[0].id, "price": large.id}]}
    preview = api.invoices.create_preview({"subscription": subscription.id, "subscription_details": change})

    api.subscriptions.update(subscription.id, change)
    server.advance(clock.id, FEBRUARY + 60)

    invoice = _cycle_invoice(api, subscription)
    assert sorted(line.amount for line in invoice.lines.data) == [-21_000, 42_000, 62_000]
    assert invoice.total == preview.total == 83_000


def test_short_first_period_gives_back_what_it_cost_and_a_free_one_nothing(api: Any, clock: Any) -> None:
    customer = make_customer(api, clock=clock.id)
    given = {"customer": customer.id, "items": [{"price": make_price(api, 31_000).id}]}
    given |= {"billing_cycle_anchor": NEW_YEAR + 10 * DAY}
    paid = api.subscriptions.create(given)
    free = api.subscriptions.create(given | {"proration_behavior": "none"})

    for subscription in (paid, free):
        api.subscriptions.cancel(subscription.id, {"prorate": True, "invoice_now": True})

    assert [i.total for i in api.invoices.list({"subscription": paid.id}).data] == [-10_000, 10_000]
    assert api.invoices.list({"subscription": free.id}).data == []


def test_advance_stops_at_two_intervals(api: Any, clock: Any) -> None:
    customer = make_customer(api, clock=clock.id)
    api.subscriptions.create({"customer": customer.id, "items": [{"price": make_price(api).id}]})

    with pytest.raises(stripe.InvalidRequestError, match="two intervals"):
        api.test_helpers.test_clocks.advance(clock.id, {"frozen_time": add_months(NEW_YEAR, 3)})

    assert api.test_helpers.test_clocks.retrieve(clock.id).frozen_time == NEW_YEAR


def test_declined_first_payment_leaves_it_incomplete_until_it_lapses(server: Any, api: Any, clock: Any) -> None:
    customer = make_customer(api, "pm_card_chargeCustomerFail", clock.id)

    made = api.subscriptions.create({"customer": customer.id, "items": [{"price": make_price(api).id}]})
    server.advance(clock.id, NEW_YEAR + DAY)

    assert made.status == "incomplete"
    assert api.subscriptions.retrieve(made.id).status == "incomplete_expired"
    assert _cycle_invoice(api, made).status == "void"


def test_error_if_incomplete_leaves_nothing_behind(api: Any, clock: Any) -> None:
    customer = make_customer(api, "pm_card_chargeCustomerFail", clock.id)
    given = {"customer": customer.id, "items": [{"price": make_price(api).id}]}

    with pytest.raises(stripe.CardError):
        api.subscriptions.create(given | {"payment_behavior": "error_if_incomplete"})

    assert api.subscriptions.list({"customer": customer.id, "status": "all"}).data == []
    assert api.invoices.list({"customer": customer.id}).data == []


def test_sandbox_clock_moves_customers_without_a_test_clock(server: Any, api: Any) -> None:
    server.set_now(NEW_YEAR)
    customer = make_customer(api)
    subscription = api.subscriptions.create({"customer": customer.id, "items": [{"price": make_price(api).id}]})

    server.set_now(FEBRUARY + 60)

    invoice = _cycle_invoice(api, subscription)
    assert (customer.created // 60, invoice.created, invoice.status) == (
        NEW_YEAR // 60,
        subscription.created and invoice.created,
        "draft",
    )
    assert invoice.created - subscription.created == FEBRUARY - NEW_YEAR
