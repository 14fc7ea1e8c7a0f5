"""Payments, refunds, disputes, credit notes, transfers: what moves, and what is refused."""

from typing import Any

import pytest
import stripe

from tests.billing.sandbox.conftest import Receiver, make_customer, make_price, swap_card


def _paid(api: Any, amount: int = 5_000, card: str = "pm_card_visa", currency: str = "cny") -> Any:
    return api.payment_intents.create(
        {"amount": amount, "currency": currency, "payment_method": card, "confirm": True, "off_session": True}
    )


def _available(api: Any, currency: str = "cny", account: str | None = None) -> int:
    balance = api.balance.retrieve(None, {"stripe_account": account} if account else {})
    return {row.currency: row.amount for row in balance.available}.get(currency, 0)


def test_partial_refunds_up_to_the_charge(server: Any, api: Any, receiver: Receiver) -> None:
    intent = _paid(api)

    api.refunds.create({"payment_intent": intent.id, "amount": 1_200})
    charge = api.charges.retrieve(intent.latest_charge)

    assert (charge.amount_refunded, charge.refunded) == (1_200, False)
    assert _available(api) == 3_800
    with pytest.raises(stripe.InvalidRequestError, match="greater than unrefunded"):
        api.refunds.create({"charge": charge.id, "amount": 3_801})
    assert api.refunds.create({"charge": charge.id}).amount == 3_800
    with pytest.raises(stripe.InvalidRequestError) as refusal:
        api.refunds.create({"charge": charge.id})
    assert refusal.value.code == "charge_already_refunded"
    assert _available(api) == 0
    server.flush()
    assert receiver.types().count("charge.refunded") == receiver.types().count("refund.created") == 2


def test_declines_carry_their_codes_and_keep_the_failed_charge(api: Any) -> None:
    with pytest.raises(stripe.CardError) as refusal:
        _paid(api, card="pm_card_chargeDeclinedInsufficientFunds")

    assert refusal.value.code == "card_declined"
    assert refusal.value.error.decline_code == "insufficient_funds"
    failed = api.charges.list().data[0]
    assert (failed.status, failed.failure_code) == ("failed", "card_declined")
    assert _available(api) == 0


def test_declining_card_does_not_attach(api: Any) -> None:
    customer = make_customer(api, card=None)

    with pytest.raises(stripe.CardError):
        api.payment_methods.attach("pm_card_chargeDeclined", {"customer": customer.id})

    assert api.customers.payment_methods.list(customer.id).data == []


def test_card_that_attaches_and_then_fails(api: Any) -> None:
    customer = make_customer(api, card=None)
    method = api.payment_methods.create(
        {"type": "card", "card": {"number": "4000000000000341", "exp_month": 4, "exp_year": 2031, "cvc": "123"}}
    )

    attached = api.payment_methods.attach(method.id, {"customer": customer.id})

    assert (attached.customer, attached.card.last4, attached.card.exp_year) == (customer.id, "0341", 2031)
    with pytest.raises(stripe.CardError):
        _paid(api, card=method.id)


def test_authentication_is_asked_for_and_refused_off_session(api: Any) -> None:
    with pytest.raises(stripe.CardError) as refusal:
        _paid(api, card="pm_card_authenticationRequired")
    intent = api.payment_intents.create(
        {"amount": 900, "currency": "cny", "payment_method": "pm_card_authenticationRequired", "confirm": True}
    )

    assert refusal.value.code == "authentication_required"
    assert intent.status == "requires_action"
    assert intent.next_action.redirect_to_url.url.endswith(f"/authenticate/{intent.id}")


def test_dispute_lost_keeps_the_money_away(server: Any, api: Any, receiver: Receiver) -> None:
    intent = _paid(api, card="pm_card_createDispute")
    dispute = api.disputes.list({"payment_intent": intent.id}).data[0]

    closed = api.disputes.close(dispute.id)

    assert (dispute.status, dispute.amount, closed.status) == ("needs_response", 5_000, "lost")
    assert _available(api) == 0
    with pytest.raises(stripe.InvalidRequestError) as refusal:
        api.refunds.create({"payment_intent": intent.id})
    assert refusal.value.code == "charge_disputed"
    server.flush()
    assert {"charge.dispute.created", "charge.dispute.closed"} <= set(receiver.types())


def test_dispute_won_by_evidence_brings_it_back(api: Any) -> None:
    intent = _paid(api, card="pm_card_createDispute")
    dispute = api.disputes.list({"payment_intent": intent.id}).data[0]

    won = api.disputes.update(dispute.id, {"evidence": {"uncategorized_text": "winning_evidence"}, "submit": True})

    assert won.status == "won"
    assert _available(api) == 5_000


def test_transfer_needs_funds_and_can_be_reversed(server: Any, api: Any, receiver: Receiver) -> None:
    account = api.accounts.create({"type": "express", "capabilities": {"transfers": {"requested": True}}})
    given = {"amount": 700, "currency": "cny", "destination": account.id, "transfer_group": "batch-1"}
    with pytest.raises(stripe.InvalidRequestError) as refusal:
        api.transfers.create(given)
    _paid(api, 1_000)

    transfer = api.transfers.create(given)

    assert refusal.value.code == "balance_insufficient"
    assert (_available(api), _available(api, account=account.id)) == (300, 700)
    reversal = api.transfers.reversals.create(transfer.id, {"amount": 200})
    assert (reversal.amount, api.transfers.retrieve(transfer.id).amount_reversed) == (200, 200)
    assert (_available(api), _available(api, account=account.id)) == (500, 500)
    assert api.transfers.list({"transfer_group": "batch-1"}).data[0].id == transfer.id
    server.flush()
    assert {"transfer.created", "transfer.reversed"} <= set(receiver.types())


def test_transfer_out_of_a_charge_is_capped_by_it(api: Any) -> None:
    account = api.accounts.create({"type": "express", "capabilities": {"transfers": {"requested": True}}})
    charge = _paid(api, 1_000).latest_charge
    given = {"currency": "cny", "destination": account.id, "source_transaction": charge}

    api.transfers.create(given | {"amount": 900})

    with pytest.raises(stripe.InvalidRequestError, match="source charge"):
        api.transfers.create(given | {"amount": 101})


@pytest.mark.parametrize(("behaviour", "total"), [("include", 500), ("exclude", 0), (None, 0)])
def test_a_new_invoice_takes_what_waits_only_when_told_to(api: Any, behaviour: str | None, total: int) -> None:
    customer = make_customer(api)
    api.invoice_items.create({"customer": customer.id, "amount": 500, "currency": "cny"})
    told = {"pending_invoice_items_behavior": behaviour} if behaviour else {}

    assert api.invoices.create({"customer": customer.id, "currency": "cny"} | told).total == total


@pytest.mark.parametrize(("currency", "amount"), [("kwd", 1_234), ("bhd", 5)])
def test_three_decimals_are_charged_and_refunded_in_tens(api: Any, currency: str, amount: int) -> None:
    with pytest.raises(stripe.InvalidRequestError, match="divisible by 10"):
        api.payment_intents.create({"amount": amount, "currency": currency})

    assert api.payment_intents.create({"amount": amount * 10, "currency": currency}).amount == amount * 10


def test_discount_then_tax_on_an_invoice(api: Any) -> None:
    customer = make_customer(api)
    coupon = api.coupons.create({"percent_off": 25, "duration": "once"})
    rate = api.tax_rates.create({"display_name": "VAT", "percentage": "6", "inclusive": False})
    invoice = api.invoices.create(
        {
            "customer": customer.id,
            "currency": "cny",
            "discounts": [{"coupon": coupon.id}],
            "default_tax_rates": [rate.id],
        }
    )
    for amount in (333, 334, 1_000):
        api.invoice_items.create({"customer": customer.id, "invoice": invoice.id, "amount": amount, "currency": "cny"})

    final = api.invoices.finalize_invoice(invoice.id)

    off = round(1_667 * 0.25)
    assert (final.subtotal, final.total_discount_amounts[0].amount) == (1_667, off)
    assert final.total_taxes[0].amount == round((1_667 - off) * 0.06)
    assert final.total == 1_667 - off + final.total_taxes[0].amount
    assert sum(t.amount for line in final.lines.data for t in line.taxes) == final.total_taxes[0].amount
    assert final.status == "open"
    assert api.invoices.pay(invoice.id).amount_paid == final.total


def test_credit_note_on_a_paid_invoice_refunds(server: Any, api: Any, receiver: Receiver) -> None:
    customer = make_customer(api)
    subscription = api.subscriptions.create({"customer": customer.id, "items": [{"price": make_price(api).id}]})
    invoice = api.invoices.retrieve(subscription.latest_invoice)
    line = {"type": "invoice_line_item", "invoice_line_item": invoice.lines.data[0].id, "amount": 2_500}

    with pytest.raises(stripe.InvalidRequestError, match="post payment amount"):
        api.credit_notes.create({"invoice": invoice.id, "lines": [line]})
    note = api.credit_notes.create({"invoice": invoice.id, "lines": [line], "refund_amount": 2_500})

    assert (note.total, note.status, note.type) == (2_500, "issued", "post_payment")
    assert api.refunds.list().data[0].amount == 2_500
    assert api.invoices.retrieve(invoice.id).post_payment_credit_notes_amount == 2_500
    server.flush()
    assert "credit_note.created" in receiver.types()


def test_credit_note_on_an_open_invoice_lowers_what_is_owed(api: Any) -> None:
    customer = make_customer(api, card=None)
    invoice = api.invoices.create({"customer": customer.id, "currency": "cny"})
    api.invoice_items.create({"customer": customer.id, "invoice": invoice.id, "amount": 900, "currency": "cny"})
    api.invoices.finalize_invoice(invoice.id)

    api.credit_notes.create({"invoice": invoice.id, "amount": 400})
    swap_card(api, customer, "pm_card_visa")
    paid = api.invoices.pay(invoice.id)

    assert (paid.status, paid.amount_paid) == ("paid", 500)
    assert _available(api) == 500


def test_customer_credit_pays_first(api: Any) -> None:
    customer = make_customer(api)
    api.customers.balance_transactions.create(customer.id, {"amount": -300, "currency": "cny"})
    invoice = api.invoices.create({"customer": customer.id, "currency": "cny"})
    api.invoice_items.create({"customer": customer.id, "invoice": invoice.id, "amount": 1_000, "currency": "cny"})

    final = api.invoices.finalize_invoice(invoice.id)

    assert (final.total, final.amount_due, final.ending_balance) == (1_000, 700, 0)


def test_void_and_uncollectible(api: Any) -> None:
    customer = make_customer(api, card=None)
    for verb, status in (("void_invoice", "void"), ("mark_uncollectible", "uncollectible")):
        invoice = api.invoices.create({"customer": customer.id, "currency": "cny"})
        api.invoice_items.create({"customer": customer.id, "invoice": invoice.id, "amount": 100, "currency": "cny"})
        with pytest.raises(stripe.InvalidRequestError):
            getattr(api.invoices, verb)(invoice.id)
        api.invoices.finalize_invoice(invoice.id)

        assert getattr(api.invoices, verb)(invoice.id).status == status


def test_lines_beyond_ten_are_paged(api: Any) -> None:
    customer = make_customer(api)
    invoice = api.invoices.create({"customer": customer.id, "currency": "cny"})
    for number in range(23):
        given = {"customer": customer.id, "invoice": invoice.id, "amount": 100 + number, "currency": "cny"}
        api.invoice_items.create(given)

    embedded = api.invoices.retrieve(invoice.id).lines
    every = list(api.invoices.line_items.list(invoice.id, {"limit": 10}).auto_paging_iter())

    assert (len(embedded.data), embedded.has_more, len(every)) == (10, True, 23)
    assert sum(line.amount for line in every) == api.invoices.retrieve(invoice.id).total
