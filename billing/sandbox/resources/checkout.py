"""Checkout sessions: what is to be bought, and what happens when somebody pays."""

from billing.sandbox.api import call
from billing.sandbox.cards import decline
from billing.sandbox.clock import action
from billing.sandbox.core import Sandbox
from billing.sandbox.errors import StripeError, refused, required
from billing.sandbox.render import includable, listing, page
from billing.sandbox.resources import intents, payments
from billing.sandbox.resources.catalogue import coupon_for, price_amount
from billing.sandbox.resources.common import assign, jsonable, merge_metadata, rows_filtered
from billing.sandbox.resources.customers import customer_create
from billing.sandbox.resources.payment_methods import attach
from billing.sandbox.resources.subscription_items import price_given
from billing.sandbox.resources.subscription_lines import product_name
from billing.sandbox.resources.subscriptions import start
from billing.sandbox.state import Obj

_FIELDS = "allow_promotion_codes billing_address_collection cancel_url client_reference_id customer_creation"
_FIELDS += " customer_email locale payment_method_collection submit_type success_url ui_mode currency"
_DAY = 86_400
_SUBSCRIPTION_DATA = (
    "billing_cycle_anchor proration_behavior trial_end trial_period_days trial_settings metadata description"
)
_SUBSCRIPTION_DATA += " default_tax_rates invoice_settings billing_cycle_anchor_config"


@call("POST", "checkout/sessions", "checkout.SessionCreateParams")
def session_create(sandbox: Sandbox, params: Obj) -> Obj:
    mode = params.get("mode")
    if mode is None:
        raise required("mode")
    if mode != "setup" and not params.get("line_items"):
        raise required("line_items")
    if params.get("ui_mode", "hosted") not in ("hosted", "hosted_page"):
        raise refused("The sandbox has hosted Checkout only.", param="ui_mode")
    if not params.get("success_url"):
        raise required("success_url")
    customer = sandbox.find("customer", params["customer"], "customer") if params.get("customer") else None
    if customer and params.get("customer_email"):
        raise refused("You may only specify one of these parameters: customer, customer_email.", param="customer_email")
    now = sandbox.now_of(customer) if customer else sandbox.clock.now()
    session = sandbox.new("checkout.session", created=now, mode=mode, expires_at=params.get("expires_at", now + _DAY))
    session["customer"] = customer["id"] if customer else None
    assign(session, params, _FIELDS)
    merge_metadata(session, params)
    session["url"] = f"{sandbox.base_url}/pay/{session['id']}"
    session["_params"] = {
        name: jsonable(params[name])
        for name in ("subscription_data", "payment_intent_data", "setup_intent_data")
        if name in params
    }
    session["_discounts"] = params.get("discounts") or []
    _price(sandbox, session, params, customer)
    sandbox.save(session)
    clock = customer["test_clock"] if customer else None
    sandbox.clock.schedule(clock, session["expires_at"], "checkout.expire", session["id"])
    return session


def _price(sandbox: Sandbox, session: Obj, params: Obj, customer: Obj | None) -> None:
    """Line items and totals, as far as they are known before anybody pays."""
    lines = []
    for index, given in enumerate(params.get("line_items") or []):
        price = price_given(sandbox, given, f"line_items[{index}]")
        if session["mode"] == "payment" and price["type"] == "recurring":
            raise refused("You specified `payment` mode but passed a recurring price.", param="line_items")
        quantity = given.get("quantity", 1)
        line = sandbox.new("item", price=dict(price), quantity=quantity, currency=price["currency"])
        line["amount_subtotal"] = line["amount_total"] = price_amount(price, quantity)
        line["description"] = product_name(sandbox, price)
        line["_tax_rates"] = given.get("tax_rates")
        lines.append(line)
    session["_lines"] = lines
    if not lines:
        return
    if session["mode"] == "subscription" and not any(line["price"]["type"] == "recurring" for line in lines):
        raise refused("You must provide at least one recurring price in `subscription` mode.", param="line_items")
    session["currency"] = lines[0]["currency"]
    session["amount_subtotal"] = sum(line["amount_subtotal"] for line in lines)
    off = 0
    for given in session["_discounts"]:
        coupon, _ = coupon_for(sandbox, given, customer)
        percent = coupon["percent_off"]
        off += session["amount_subtotal"] * percent / 100 if percent is not None else coupon["amount_off"]
    off = min(int(off), session["amount_subtotal"])
    data = session["_params"].get("subscription_data", {})
    later = bool(data.get("trial_end") or data.get("trial_period_days"))
    later = later or (data.get("proration_behavior") == "none" and bool(data.get("billing_cycle_anchor")))
    session["amount_total"] = 0 if session["mode"] == "subscription" and later else session["amount_subtotal"] - off
    session["total_details"] = {"amount_discount": off, "amount_shipping": 0, "amount_tax": 0}


def pay(sandbox: Sandbox, session: Obj, method: Obj, email: str | None = None, name: str | None = None) -> Obj:
    """Complete a session with a payment method; raises the card's error and leaves the session open when it fails."""
    if session["status"] != "open":
        raise refused(f"This Checkout Session is {session['status']} and can't be paid.", "checkout_session_not_open")
    if method.get("_attach"):
        raise decline(method["_attach"])
    customer = _customer_for(sandbox, session, email, name)
    now = sandbox.now_of(customer)
    method["_authenticated"] = True  # the buyer is at the page; a card that asks once has been answered
    if session["mode"] == "payment":
        _pay_once(sandbox, session, customer, method, now)
    elif session["mode"] == "setup":
        _set_up(sandbox, session, customer, method)
    else:
        _subscribe(sandbox, session, customer, method)
    session |= {"status": "complete", "customer": customer["id"], "url": None}
    session["customer_details"] = {name: customer[name] for name in ("address", "email", "name", "phone", "tax_exempt")}
    session["customer_details"] |= {"tax_ids": [], "business_name": None, "individual_name": None}
    sandbox.save(session)
    sandbox.emit("checkout.session.completed", session)
    return session


def _customer_for(sandbox: Sandbox, session: Obj, email: str | None, name: str | None) -> Obj:
    if session["customer"]:
        return sandbox.find("customer", session["customer"])
    address = session["customer_email"] or email
    if not address:
        raise refused("An e-mail address is needed.", "parameter_missing", "email")
    given = {"email": address} | ({"name": name} if name else {})
    customer = customer_create(sandbox, given)
    session["customer"] = customer["id"]
    sandbox.save(session)
    return customer


def _pay_once(sandbox: Sandbox, session: Obj, customer: Obj, method: Obj, now: int) -> None:
    data = session["_params"].get("payment_intent_data", {})
    intent = payments.intent_new(sandbox, session["amount_total"], session["currency"], customer["id"], now)
    assign(intent, data, "description receipt_email setup_future_usage transfer_group transfer_data")
    merge_metadata(intent, data)
    session["payment_intent"] = intent["id"]
    if intent["setup_future_usage"]:
        attach(sandbox, method, customer)
    error = payments.confirm(sandbox, intent, method, now, off_session=False)
    if error is None and intent["status"] == "requires_action":
        error = payments.authenticate(sandbox, intent, passed=True, now=now)
    if error is not None:
        raise error
    session["payment_status"] = "paid"


def _set_up(sandbox: Sandbox, session: Obj, customer: Obj, method: Obj) -> None:
    given = {"customer": customer["id"], "payment_method": method["id"], "confirm": True}
    data = session["_params"].get("setup_intent_data", {})
    session["setup_intent"] = intents.setup_intent_create(sandbox, given | data)["id"]
    session["payment_status"] = "no_payment_required"


def _subscribe(sandbox: Sandbox, session: Obj, customer: Obj, method: Obj) -> None:
    attach(sandbox, method, customer)
    recurring = [line for line in session["_lines"] if line["price"]["type"] == "recurring"]
    once = [line for line in session["_lines"] if line["price"]["type"] == "one_time"]
    data = session["_params"].get("subscription_data", {})
    given = {name: data[name] for name in _SUBSCRIPTION_DATA.split() if data.get(name) is not None}
    given |= {"items": [_entry(line) for line in recurring], "add_invoice_items": [_entry(line) for line in once]}
    given |= {"default_payment_method": method["id"], "discounts": session["_discounts"]}
    given["payment_behavior"] = "error_if_incomplete"
    try:
        subscription = start(sandbox, given, customer)
    except StripeError:
        method["customer"] = None
        sandbox.save(method)
        raise
    session |= {"subscription": subscription["id"], "invoice": subscription["latest_invoice"]}
    invoice = sandbox.store.get("invoice", subscription["latest_invoice"] or "")
    session["payment_status"] = "paid" if invoice and invoice["amount_due"] else "no_payment_required"
    if invoice:
        session["amount_total"] = invoice["total"]


def _entry(line: Obj) -> Obj:
    entry = {"price": line["price"]["id"], "quantity": line["quantity"]}
    return entry | ({"tax_rates": line["_tax_rates"]} if line["_tax_rates"] else {})


@call("GET", "checkout/sessions", "checkout.SessionListParams")
def session_list(sandbox: Sandbox, params: Obj) -> Obj:
    rows = rows_filtered(sandbox, "checkout.session", params, "customer subscription payment_intent", "status")
    return page(sandbox.store, "checkout.session", rows, params, "/v1/checkout/sessions")


@call("GET", "checkout/sessions/{id}", "checkout.SessionRetrieveParams")
def session_retrieve(sandbox: Sandbox, params: Obj, ident: str) -> Obj:
    return sandbox.find("checkout.session", ident)


@call("POST", "checkout/sessions/{id}", "checkout.SessionUpdateParams")
def session_update(sandbox: Sandbox, params: Obj, ident: str) -> Obj:
    session = sandbox.find("checkout.session", ident)
    merge_metadata(session, params)
    return sandbox.save(session)


@call("POST", "checkout/sessions/{id}/expire", "checkout.SessionExpireParams")
def session_expire(sandbox: Sandbox, params: Obj, ident: str) -> Obj:
    session = sandbox.find("checkout.session", ident)
    if session["status"] != "open":
        raise refused('Only Checkout Sessions with a status in ["open"] can be expired.')
    return _expire(sandbox, session)


@action("checkout.expire")
def _expire_due(sandbox: Sandbox, entry: Obj) -> None:
    session = sandbox.store.get("checkout.session", entry["target"])
    if session and session["status"] == "open":
        _expire(sandbox, session)


def _expire(sandbox: Sandbox, session: Obj) -> Obj:
    session |= {"status": "expired", "url": None}
    sandbox.save(session)
    sandbox.emit("checkout.session.expired", session)
    return session


def _shown(session: Obj) -> list[Obj]:
    return [{name: value for name, value in line.items() if name != "_tax_rates"} for line in session["_lines"]]


@call("GET", "checkout/sessions/{id}/line_items", "checkout.SessionLineItemListParams")
def session_line_items(sandbox: Sandbox, params: Obj, ident: str) -> Obj:
    return _line_items(sandbox, sandbox.find("checkout.session", ident))


@includable("checkout.session", "line_items")
def _line_items(sandbox: Sandbox, session: Obj) -> Obj:
    stored = sandbox.find("checkout.session", session["id"])
    return listing(_shown(stored), f"/v1/checkout/sessions/{session['id']}/line_items")
