"""The calls on payment intents, set-up intents and charges."""

from billing.sandbox.api import call
from billing.sandbox.core import Sandbox
from billing.sandbox.errors import refused, required
from billing.sandbox.ids import token
from billing.sandbox.render import page
from billing.sandbox.resources import invoice_state, payments
from billing.sandbox.resources.common import (
    assign,
    check_amount,
    check_currency,
    merge_metadata,
    rows_filtered,
    simple_reads,
)
from billing.sandbox.resources.payment_methods import attach, payment_method_given
from billing.sandbox.state import Obj

simple_reads("payment_intent", "payment_intents", "PaymentIntent", indexed="customer")
simple_reads("setup_intent", "setup_intents", "SetupIntent", indexed="customer", others="payment_method")

_FIELDS = "description receipt_email setup_future_usage transfer_group statement_descriptor statement_descriptor_suffix"
_FIELDS += " transfer_data on_behalf_of"
_CONFIRMABLE = ("requires_payment_method", "requires_confirmation", "requires_action")


@call("POST", "payment_intents", "PaymentIntentCreateParams")
def payment_intent_create(sandbox: Sandbox, params: Obj) -> Obj:
    check_amount(params["amount"])
    if params.get("customer"):
        sandbox.find("customer", params["customer"], "customer")
    now = sandbox.clock.customer_now(params.get("customer"))
    method = payment_method_given(sandbox, params["payment_method"]) if params.get("payment_method") else None
    currency = check_currency(params["currency"])
    intent = payments.intent_new(sandbox, params["amount"], currency, params.get("customer"), now)
    assign(intent, params, _FIELDS + " capture_method confirmation_method")
    merge_metadata(intent, params)
    if method is not None:
        intent |= {"payment_method": method["id"], "status": "requires_confirmation"}
    sandbox.save(intent)
    return _confirm(sandbox, intent, params, now) if params.get("confirm") else intent


def _confirm(sandbox: Sandbox, intent: Obj, params: Obj, now: int) -> Obj:
    if intent["status"] not in _CONFIRMABLE:
        raise refused(
            f"You cannot confirm this PaymentIntent because it has a status of {intent['status']}.",
            "payment_intent_unexpected_state",
        )
    created = "confirm" in params  # then the intent already holds what the parameter named; a token makes a new card
    ident = intent["payment_method"] if created else params.get("payment_method") or intent["payment_method"]
    if not ident:
        raise refused(
            "You cannot confirm this PaymentIntent because it's missing a payment method.",
            "payment_intent_unexpected_state",
        )
    method = sandbox.find("payment_method", ident) if created else payment_method_given(sandbox, ident)
    if intent["customer"] and intent["setup_future_usage"] and not method["customer"]:
        attach(sandbox, method, sandbox.find("customer", intent["customer"]))
    error = payments.confirm(sandbox, intent, method, now, off_session=params.get("off_session") in (True, "true"))
    if error is not None:
        raise error
    invoice_state.intent_settled(sandbox, intent, now)
    return intent


@call("POST", "payment_intents/{id}/confirm", "PaymentIntentConfirmParams")
def payment_intent_confirm(sandbox: Sandbox, params: Obj, ident: str) -> Obj:
    intent = sandbox.find("payment_intent", ident)
    return _confirm(sandbox, intent, params, sandbox.now_of(intent))


@call("POST", "payment_intents/{id}", "PaymentIntentUpdateParams")
def payment_intent_update(sandbox: Sandbox, params: Obj, ident: str) -> Obj:
    intent = sandbox.find("payment_intent", ident)
    if "amount" in params:
        if intent["status"] not in _CONFIRMABLE:
            raise refused(
                "This PaymentIntent's amount could not be updated.", "payment_intent_unexpected_state", "amount"
            )
        intent["amount"] = check_amount(params["amount"])
    assign(intent, params, _FIELDS + " customer")
    merge_metadata(intent, params)
    if params.get("payment_method"):
        intent["payment_method"] = payment_method_given(sandbox, params["payment_method"])["id"]
        intent["status"] = "requires_confirmation"
    return sandbox.save(intent)


@call("POST", "payment_intents/{id}/cancel", "PaymentIntentCancelParams")
def payment_intent_cancel(sandbox: Sandbox, params: Obj, ident: str) -> Obj:
    intent = sandbox.find("payment_intent", ident)
    if intent["status"] not in (*_CONFIRMABLE, "requires_capture"):
        raise refused(
            f"You cannot cancel this PaymentIntent because it has a status of {intent['status']}.",
            "payment_intent_unexpected_state",
        )
    intent |= {"status": "canceled", "canceled_at": sandbox.now_of(intent), "next_action": None}
    intent["cancellation_reason"] = params.get("cancellation_reason")
    sandbox.save(intent)
    sandbox.emit("payment_intent.canceled", intent)
    return intent


@call("POST", "payment_intents/{id}/capture", "PaymentIntentCaptureParams")
def payment_intent_capture(sandbox: Sandbox, params: Obj, ident: str) -> Obj:
    intent = sandbox.find("payment_intent", ident)
    if intent["status"] != "requires_capture":
        raise refused("This PaymentIntent could not be captured.", "payment_intent_unexpected_state")
    amount = check_amount(params.get("amount_to_capture") or intent["amount_capturable"], "amount_to_capture")
    if amount > intent["amount_capturable"]:
        raise refused("You cannot capture more than was authorized.", "amount_too_large", "amount_to_capture")
    charge = sandbox.find("charge", intent["latest_charge"])
    charge |= {"amount_captured": amount, "amount_refunded": 0}
    payments.settle(sandbox, intent, charge, sandbox.now_of(intent))
    return intent


@call("POST", "setup_intents", "SetupIntentCreateParams")
def setup_intent_create(sandbox: Sandbox, params: Obj) -> Obj:
    if params.get("customer"):
        sandbox.find("customer", params["customer"], "customer")
    intent = sandbox.new("setup_intent", created=sandbox.clock.customer_now(params.get("customer")))
    intent["client_secret"] = f"{intent['id']}_secret_{token(24)}"
    assign(intent, params, "customer description usage")
    merge_metadata(intent, params)
    sandbox.save(intent)
    sandbox.emit("setup_intent.created", intent)
    if params.get("payment_method"):
        method = payment_method_given(sandbox, params["payment_method"])
        intent |= {"payment_method": method["id"], "status": "requires_confirmation"}
        sandbox.save(intent)
    return _set_up(sandbox, intent) if params.get("confirm") else intent


@call("POST", "setup_intents/{id}/confirm", "SetupIntentConfirmParams")
def setup_intent_confirm(sandbox: Sandbox, params: Obj, ident: str) -> Obj:
    intent = sandbox.find("setup_intent", ident)
    if params.get("payment_method"):
        intent["payment_method"] = payment_method_given(sandbox, params["payment_method"])["id"]
    return _set_up(sandbox, intent)


def _set_up(sandbox: Sandbox, intent: Obj) -> Obj:
    """Keep the card for later. The sandbox takes the cardholder as present: cards that ask once are answered here."""
    if not intent["payment_method"]:
        raise required("payment_method")
    method = sandbox.find("payment_method", intent["payment_method"])
    if intent["customer"]:
        attach(sandbox, method, sandbox.find("customer", intent["customer"]))
    method["_authenticated"] = True
    sandbox.save(method)
    intent["status"] = "succeeded"
    sandbox.save(intent)
    sandbox.emit("setup_intent.succeeded", intent)
    return intent


@call("GET", "charges", "ChargeListParams")
def charge_list(sandbox: Sandbox, params: Obj) -> Obj:
    rows = rows_filtered(sandbox, "charge", params, "payment_intent customer", "transfer_group")
    return page(sandbox.store, "charge", rows, params, "/v1/charges")


@call("GET", "charges/{id}", "ChargeRetrieveParams")
def charge_retrieve(sandbox: Sandbox, params: Obj, ident: str) -> Obj:
    return sandbox.find("charge", ident)


@call("POST", "charges/{id}", "ChargeUpdateParams")
def charge_update(sandbox: Sandbox, params: Obj, ident: str) -> Obj:
    charge = sandbox.find("charge", ident)
    previous = assign(charge, params, "description receipt_email transfer_group")
    merge_metadata(charge, params)
    sandbox.save(charge)
    sandbox.emit("charge.updated", charge, previous)
    return charge
