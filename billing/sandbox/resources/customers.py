"""Customers and their balance."""

from billing.sandbox.api import call
from billing.sandbox.core import Sandbox
from billing.sandbox.errors import refused
from billing.sandbox.ids import token
from billing.sandbox.render import includable, listing, page
from billing.sandbox.resources import discounts, subscription_state
from billing.sandbox.resources.common import assign, jsonable, merge_metadata, rows_filtered
from billing.sandbox.resources.payment_methods import attach, payment_method_given
from billing.sandbox.state import Obj

_FIELDS = "description email name phone shipping tax_exempt preferred_locales invoice_prefix next_invoice_sequence"


@call("POST", "customers", "CustomerCreateParams")
def customer_create(sandbox: Sandbox, params: Obj) -> Obj:
    clock_id = params.get("test_clock")
    if clock_id:
        clock = sandbox.find("test_helpers.test_clock", clock_id, "test_clock")
        if clock["status"] == "advancing":
            raise refused("Test clock advancement underway.", "test_clock_advancing", "test_clock")
    customer = sandbox.new("customer", created=sandbox.clock.now(clock_id), test_clock=clock_id)
    customer["invoice_prefix"] = token(8).upper()
    customer["balance"] = params.get("balance", 0)
    _apply(sandbox, customer, params)
    sandbox.save(customer)
    if "payment_method" in params:
        attach(sandbox, payment_method_given(sandbox, params["payment_method"]), customer)
    _set_default_method(sandbox, customer, params)
    sandbox.save(customer)
    sandbox.emit("customer.created", customer)
    return customer


@call("POST", "customers/{id}", "CustomerUpdateParams")
def customer_update(sandbox: Sandbox, params: Obj, ident: str) -> Obj:
    customer = sandbox.find("customer", ident)
    previous = _apply(sandbox, customer, params)
    if "balance" in params and params["balance"] != customer["balance"]:
        previous["balance"] = customer["balance"]
        change_balance(sandbox, customer, params["balance"] - customer["balance"], "adjustment")
    _set_default_method(sandbox, customer, params)
    sandbox.save(customer)
    sandbox.emit("customer.updated", customer, previous)
    return customer


def _apply(sandbox: Sandbox, customer: Obj, params: Obj) -> Obj:
    previous = assign(customer, params, _FIELDS)
    if "address" in params:
        address = dict.fromkeys(("city", "country", "line1", "line2", "postal_code", "state"))
        previous["address"] = customer["address"]
        customer["address"] = address | jsonable(params["address"]) if params["address"] else None
    merge_metadata(customer, params)
    return previous


def _set_default_method(sandbox: Sandbox, customer: Obj, params: Obj) -> None:
    settings = params.get("invoice_settings") or {}
    if "default_payment_method" in settings:
        ident = settings["default_payment_method"]
        if ident:
            method = payment_method_given(sandbox, ident)
            if method["customer"] is None and ident.startswith("pm_card_"):
                attach(sandbox, method, customer)
            if method["customer"] != customer["id"]:
                raise refused(
                    f"The customer does not have a payment method with the ID {ident}. The payment method must be "
                    "attached to the customer.",
                    "resource_missing",
                    "invoice_settings[default_payment_method]",
                )
            ident = method["id"]
        customer["invoice_settings"]["default_payment_method"] = ident or None
    assign(customer["invoice_settings"], settings, "custom_fields footer rendering_options")


@call("GET", "customers", "CustomerListParams")
def customer_list(sandbox: Sandbox, params: Obj) -> Obj:
    rows = rows_filtered(sandbox, "customer", params, "email test_clock")
    return page(sandbox.store, "customer", rows, params, "/v1/customers")


@call("GET", "customers/{id}", "CustomerRetrieveParams")
def customer_retrieve(sandbox: Sandbox, params: Obj, ident: str) -> Obj:
    customer = sandbox.store.get("customer", ident)
    if customer is not None and customer.get("_deleted"):
        return {"id": ident, "object": "customer", "deleted": True}
    return sandbox.find("customer", ident)


@call("DELETE", "customers/{id}", "CustomerDeleteParams")
def customer_delete(sandbox: Sandbox, params: Obj, ident: str) -> Obj:
    customer = sandbox.find("customer", ident)
    for subscription in sandbox.store.by("subscription", "customer", ident):
        if subscription["status"] not in ("canceled", "incomplete_expired"):
            subscription_state.cancel_now(sandbox, subscription, sandbox.now_of(customer))
    customer["_deleted"] = True
    sandbox.save(customer)
    sandbox.emit("customer.deleted", customer)
    return {"id": ident, "object": "customer", "deleted": True}


def change_balance(sandbox: Sandbox, customer: Obj, amount: int, type_: str, **refs: str) -> Obj:
    """Move the customer's balance (negative: credit in their favour) and note it."""
    customer["balance"] += amount
    sandbox.save(customer)
    row = sandbox.new("customer_balance_transaction", created=sandbox.now_of(customer), amount=amount, type=type_)
    row |= {"customer": customer["id"], "currency": customer["currency"], "ending_balance": customer["balance"]}
    row |= refs
    return sandbox.save(row)


@call("POST", "customers/{id}/balance_transactions", "CustomerBalanceTransactionCreateParams")
def balance_transaction_create(sandbox: Sandbox, params: Obj, ident: str) -> Obj:
    customer = sandbox.find("customer", ident)
    customer["currency"] = customer["currency"] or params["currency"]
    row = change_balance(sandbox, customer, params["amount"], "adjustment")
    assign(row, params, "description currency")
    merge_metadata(row, params)
    return sandbox.save(row)


@call("GET", "customers/{id}/balance_transactions", "CustomerBalanceTransactionListParams")
def balance_transaction_list(sandbox: Sandbox, params: Obj, ident: str) -> Obj:
    sandbox.find("customer", ident)
    rows = reversed(sandbox.store.by("customer_balance_transaction", "customer", ident))
    url = f"/v1/customers/{ident}/balance_transactions"
    return page(sandbox.store, "customer_balance_transaction", rows, params, url)


@call("DELETE", "customers/{id}/discount", "CustomerDeleteDiscountParams")
def discount_delete(sandbox: Sandbox, params: Obj, ident: str) -> Obj:
    customer = sandbox.find("customer", ident)
    gone = customer["discount"]
    if gone is None:
        raise refused("No active discount for customer.", "resource_missing", "customer")
    customer["discount"] = None
    sandbox.save(customer)
    discounts.forget(sandbox, gone["id"])
    return gone | {"deleted": True}


@includable("customer", "subscriptions")
def _subscriptions(sandbox: Sandbox, customer: Obj) -> Obj:
    rows = [s for s in sandbox.store.by("subscription", "customer", customer["id"]) if s["status"] != "canceled"]
    return listing(reversed(rows), f"/v1/customers/{customer['id']}/subscriptions")


@includable("customer", "tax_ids")
@includable("customer", "sources")
def _empty(sandbox: Sandbox, customer: Obj) -> Obj:
    return listing([], f"/v1/customers/{customer['id']}")
