"""Payment methods: cards made from test numbers or test tokens, attached to customers."""

import hashlib

from billing.sandbox.api import call
from billing.sandbox.cards import Card, card_by_number, card_by_token, decline
from billing.sandbox.core import Sandbox
from billing.sandbox.errors import missing, refused, required
from billing.sandbox.render import page
from billing.sandbox.resources.common import jsonable, merge_metadata, rows_filtered, simple_reads
from billing.sandbox.state import Obj

simple_reads("payment_method", "payment_methods", "PaymentMethod", indexed="customer", others="type")


@call("POST", "payment_methods", "PaymentMethodCreateParams")
def payment_method_create(sandbox: Sandbox, params: Obj) -> Obj:
    if params.get("type") != "card":
        raise refused("The sandbox has payment methods of type card only.", param="type")
    given = params.get("card")
    if not given:
        raise required("card")
    if "token" in given:
        method = method_from_card(sandbox, card_by_token(given["token"]))
    else:
        card = card_by_number(given.get("number", ""))
        method = method_from_card(sandbox, card, given.get("exp_month", 12), given.get("exp_year", 2034))
    method["billing_details"] |= jsonable(params.get("billing_details", {}))
    merge_metadata(method, params)
    return sandbox.save(method)


def method_from_card(sandbox: Sandbox, card: Card, exp_month: int = 12, exp_year: int = 2034) -> Obj:
    """A stored, unattached payment method for a test card; what the card will do is kept as a private note."""
    method = sandbox.new("payment_method")
    method["_charge"], method["_attach"], method["_authenticated"] = card.charge, card.attach, False
    method["card"] |= {"brand": card.brand, "display_brand": card.brand, "country": card.country}
    method["card"] |= {"last4": card.number[-4:], "exp_month": exp_month, "exp_year": exp_year}
    method["card"]["networks"] = {"available": [card.brand], "preferred": None}
    method["card"]["fingerprint"] = hashlib.sha256(card.number.encode()).hexdigest()[:16]
    return sandbox.save(method)


def payment_method_given(sandbox: Sandbox, ident: str, param: str = "payment_method") -> Obj:
    """The payment method of this id; `pm_card_visa` and its like make a new one."""
    method = sandbox.store.get("payment_method", ident)
    if method is not None:
        return method
    if ident.startswith(("pm_card_", "tok_")):
        return method_from_card(sandbox, card_by_token(ident))
    error = missing("PaymentMethod", ident, param)
    error.status = 400
    raise error


def attach(sandbox: Sandbox, method: Obj, customer: Obj) -> Obj:
    """Bind a method to a customer; a card that the bank refuses outright does not attach."""
    if method["customer"] == customer["id"]:
        return method
    if method["customer"]:
        raise refused("The payment method you provided has already been attached to a customer.", param="customer")
    if method.get("_attach"):
        raise decline(method["_attach"])
    method["customer"] = customer["id"]
    sandbox.save(method)
    sandbox.emit("payment_method.attached", method)
    return method


@call("POST", "payment_methods/{id}/attach", "PaymentMethodAttachParams")
def payment_method_attach(sandbox: Sandbox, params: Obj, ident: str) -> Obj:
    if "customer" not in params:
        raise required("customer")
    customer = sandbox.find("customer", params["customer"], "customer")
    return attach(sandbox, payment_method_given(sandbox, ident), customer)


@call("POST", "payment_methods/{id}/detach", "PaymentMethodDetachParams")
def payment_method_detach(sandbox: Sandbox, params: Obj, ident: str) -> Obj:
    method = sandbox.find("payment_method", ident)
    if method["customer"] is None:
        raise refused("The payment method you provided is not attached to a customer so detachment is impossible.")
    customer = sandbox.store.get("customer", method["customer"])
    if customer and customer["invoice_settings"]["default_payment_method"] == ident:
        customer["invoice_settings"]["default_payment_method"] = None
        sandbox.save(customer)
    previous = {"customer": method["customer"]}
    method["customer"] = None
    sandbox.save(method)
    sandbox.emit("payment_method.detached", method, previous)
    return method


@call("POST", "payment_methods/{id}", "PaymentMethodUpdateParams")
def payment_method_update(sandbox: Sandbox, params: Obj, ident: str) -> Obj:
    method = sandbox.find("payment_method", ident)
    method["billing_details"] |= jsonable(params.get("billing_details") or {})
    card = params.get("card") or {}
    method["card"] |= {name: card[name] for name in ("exp_month", "exp_year") if name in card}
    merge_metadata(method, params)
    sandbox.save(method)
    sandbox.emit("payment_method.updated", method)
    return method


@call("GET", "customers/{id}/payment_methods", "CustomerPaymentMethodListParams")
def customer_payment_methods(sandbox: Sandbox, params: Obj, ident: str) -> Obj:
    sandbox.find("customer", ident)
    rows = rows_filtered(sandbox, "payment_method", params | {"customer": ident}, "customer", "type")
    return page(sandbox.store, "payment_method", rows, params, f"/v1/customers/{ident}/payment_methods")


@call("GET", "customers/{id}/payment_methods/{method}", "CustomerPaymentMethodRetrieveParams")
def customer_payment_method(sandbox: Sandbox, params: Obj, ident: str, method_id: str) -> Obj:
    method = sandbox.find("payment_method", method_id)
    if method["customer"] != ident:
        raise missing("PaymentMethod", method_id)
    return method


def default_method(sandbox: Sandbox, customer: Obj, *candidates: str | None) -> Obj | None:
    """The method to charge: the first given one that is still attached, else the customer's default."""
    for ident in (*candidates, customer["invoice_settings"]["default_payment_method"]):
        method = sandbox.store.get("payment_method", ident) if ident else None
        if method is not None and method["customer"] == customer["id"]:
            return method
    return None
