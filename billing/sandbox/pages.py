"""The pages people see: Checkout, the billing portal, an invoice, the bank's question. No JavaScript, no assets."""

from html import escape
from typing import Any
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from billing.sandbox import cards
from billing.sandbox.core import Sandbox
from billing.sandbox.errors import StripeError, refused
from billing.sandbox.page_parts import card_fields, document, figures, money, notice
from billing.sandbox.resources import checkout, invoice_state, payments
from billing.sandbox.resources.payment_methods import attach, default_method, method_from_card
from billing.sandbox.resources.subscription_changes import subscription_update
from billing.sandbox.resources.subscription_items import period_of
from billing.sandbox.resources.subscription_lines import date_text
from billing.sandbox.resources.subscription_state import ENDED
from billing.sandbox.state import Obj

Form = dict[str, str]


def _sandbox(request: Request) -> Sandbox:
    return request.app.state.sandbox


async def _form(request: Request) -> Form:
    fields = parse_qs((await request.body()).decode(errors="replace"), keep_blank_values=True)
    return {name: values[-1].strip() for name, values in fields.items()}


def _not_found() -> Response:
    return HTMLResponse(document("Not found", notice("This page is not, or no longer, there.")), 404)


def _method_from(sandbox: Sandbox, form: Form) -> Obj:
    """A payment method from the card fields of a form; refuses what is not a usable test card."""
    card = cards.card_by_number(form.get("number", ""))
    month, _, year = form.get("expiry", "").replace(" ", "").partition("/")
    if not (month.isdigit() and year.isdigit() and 1 <= int(month) <= 12 and len(year) in (2, 4)):
        raise refused("Enter the expiry as MM / YY.", "invalid_expiry", "expiry")
    if not (form.get("cvc", "").isdigit() and len(form["cvc"]) in (3, 4)):
        raise refused("Enter the three or four digits of the security code.", "invalid_cvc", "cvc")
    full_year = int(year) if len(year) == 4 else 2000 + int(year)
    return method_from_card(sandbox, card, int(month), full_year)


def _checkout_page(
    sandbox: Sandbox, session: Obj, error: str = "", form: Form | None = None, status: int = 200
) -> Response:
    rows = [
        (line["description"] or "Item", f"{line['quantity']}", money(line["amount_total"], line["currency"]))
        for line in session["_lines"]
    ]
    due = money(session["amount_total"] or 0, session["currency"] or "usd")
    later = session["mode"] == "subscription" and not session["amount_total"]
    known = session["customer"] or session["customer_email"]
    verb = (
        "Save card"
        if session["mode"] == "setup"
        else "Subscribe"
        if session["mode"] == "subscription"
        else f"Pay {due}"
    )
    body = figures(rows, ("Due today", due)) if rows else ""
    body += "<p class=quiet>Nothing is charged today.</p>" if later else ""
    body += notice(error) if error else ""
    body += (
        "<form method=post>" + card_fields(form or {}, ask_email=not known) + f"<button>{escape(verb)}</button></form>"
    )
    if session["cancel_url"]:
        body += f'<p><a href="{escape(session["cancel_url"])}">Cancel and return</a></p>'
    return HTMLResponse(document("Checkout", body), status)


async def checkout_page(request: Request) -> Response:
    """What is bought and the card form; a POST pays and goes to the success address."""
    sandbox = _sandbox(request)
    form = await _form(request) if request.method == "POST" else {}
    with sandbox.lock:
        session = sandbox.store.get("checkout.session", request.path_params["id"])
        if session is None:
            return _not_found()
        if session["status"] != "open":
            return HTMLResponse(document("Checkout", notice(f"This session is {session['status']}.")), 410)
        if request.method == "GET":
            return _checkout_page(sandbox, session)
        try:
            with sandbox.attempt():
                checkout.pay(sandbox, session, _method_from(sandbox, form), form.get("email"), form.get("name"))
        except StripeError as error:
            session = sandbox.find("checkout.session", session["id"])
            return _checkout_page(sandbox, session, str(error), form, 402 if error.status == 402 else 422)
        target = session["success_url"].replace("{CHECKOUT_SESSION_ID}", session["id"])
    return RedirectResponse(target, 303)


def _portal_subscription(subscription: Obj) -> str:
    end = date_text(period_of(subscription)[1])
    ends = subscription["cancel_at_period_end"]
    item = subscription["items"]["data"][0]
    price = money(item["price"]["unit_amount"] or 0, item["price"]["currency"])
    state = f"ends on {end}" if ends else f"{subscription['status']}, renews on {end}"
    verb, value = ("Keep this subscription", "resume") if ends else (f"Cancel on {end}", "cancel")
    return (
        f"<section><p><b>{escape(item['price']['nickname'] or item['price']['product'])}</b> — {price} a "
        f"{item['price']['recurring']['interval']}; {state}.</p><form method=post>"
        f'<input type=hidden name=subscription value="{subscription["id"]}">'
        f"<button class=plain name=action value={value}>{verb}</button></form></section>"
    )


def _portal_page(sandbox: Sandbox, session: Obj, message: str = "", status: int = 200) -> Response:
    customer = sandbox.find("customer", session["customer"])
    running = [s for s in sandbox.store.by("subscription", "customer", customer["id"]) if s["status"] not in ENDED]
    method = default_method(sandbox, customer, *(s["default_payment_method"] for s in running))
    card = f"{method['card']['brand']} ending in {method['card']['last4']}" if method else "none"
    body = notice(message) if message else ""
    body += "<h2>Subscriptions</h2>" + ("".join(map(_portal_subscription, running)) or "<p class=quiet>None.</p>")
    body += f"<h2>Card</h2><p>Now: {escape(card)}.</p><form method=post>{card_fields({}, ask_email=False)}"
    body += "<button name=action value=card>Use this card</button></form>"
    invoices = reversed(sandbox.store.by("invoice", "customer", customer["id"]))
    rows = [
        (i["number"] or "draft", f"{i['status']}, {date_text(i['created'])}", money(i["total"], i["currency"]))
        for i in invoices
    ]
    body += "<h2>Invoices</h2>" + (figures(rows) if rows else "<p class=quiet>None.</p>")
    if session["return_url"]:
        body += f'<p><a href="{escape(session["return_url"])}">Return</a></p>'
    return HTMLResponse(document("Billing", body), status)


async def portal_page(request: Request) -> Response:
    """Subscriptions (cancel, keep), the card, the invoices."""
    sandbox = _sandbox(request)
    form = await _form(request) if request.method == "POST" else {}
    with sandbox.lock:
        session = sandbox.store.get("billing_portal.session", request.path_params["id"])
        if session is None:
            return _not_found()
        if request.method == "GET":
            return _portal_page(sandbox, session)
        try:
            with sandbox.attempt():
                _portal_act(sandbox, session, form)
        except StripeError as error:
            return _portal_page(sandbox, session, str(error), 422)
    return RedirectResponse(request.url.path, 303)


def _portal_act(sandbox: Sandbox, session: Obj, form: Form) -> None:
    customer = sandbox.find("customer", session["customer"])
    if form.get("action") == "card":
        method = attach(sandbox, _method_from(sandbox, form), customer)
        method["_authenticated"] = True
        customer["invoice_settings"]["default_payment_method"] = method["id"]
        sandbox.save(customer)
        for subscription in sandbox.store.by("subscription", "customer", customer["id"]):
            if subscription["default_payment_method"] and subscription["status"] not in ENDED:
                subscription["default_payment_method"] = method["id"]
                sandbox.save(subscription)
        sandbox.emit("customer.updated", customer, {})
        return
    subscription = sandbox.find("subscription", form.get("subscription", ""))
    if subscription["customer"] != customer["id"] or form.get("action") not in ("cancel", "resume"):
        raise refused("That can't be done here.")
    subscription_update(sandbox, {"cancel_at_period_end": form["action"] == "cancel"}, subscription["id"])


async def invoice_page(request: Request) -> Response:
    """A finalised invoice, and the way to pay it when it is open."""
    sandbox = _sandbox(request)
    form = await _form(request) if request.method == "POST" else {}
    with sandbox.lock:
        invoice = sandbox.store.get("invoice", request.path_params["id"])
        if invoice is None or invoice["status"] == "draft":
            return _not_found()
        message = ""
        if request.method == "POST" and invoice["status"] == "open":
            try:
                customer = sandbox.find("customer", invoice["customer"])
                method = attach(sandbox, _method_from(sandbox, form), customer)
                now = sandbox.now_of(invoice)
                error = invoice_state.collect_payment(sandbox, invoice, now, method, off_session=False)
            except StripeError as refusal:
                error = refusal
            message = str(error) if error else ""
        return HTMLResponse(_invoice_html(invoice, message), 402 if message else 200)


def _invoice_html(invoice: Obj, message: str) -> str:
    currency = invoice["currency"]
    rows = [(i["description"] or "Item", str(i["quantity"]), money(i["amount"], currency)) for i in invoice["_lines"]]
    off = sum(entry["amount"] for entry in invoice["total_discount_amounts"])
    tax = sum(entry["amount"] for entry in invoice["total_taxes"])
    rows += [("Discounts", "", money(-off, currency))] if off else []
    rows += [("Tax", "", money(tax, currency))] if tax else []
    body = notice(message) if message else ""
    body += f"<p>{escape(invoice['status'])}, {date_text(invoice['effective_at'] or invoice['created'])}</p>"
    body += figures(rows, ("Total", money(invoice["total"], currency)))
    if invoice["status"] == "open":
        due = money(invoice["amount_remaining"], currency)
        body += f"<form method=post>{card_fields({}, ask_email=False)}<button>Pay {due}</button></form>"
    return document(f"Invoice {invoice['number']}", body)


async def authenticate_page(request: Request) -> Response:
    """The cardholder's bank asks: was it you?"""
    sandbox = _sandbox(request)
    form = await _form(request) if request.method == "POST" else {}
    with sandbox.lock:
        intent = sandbox.store.get("payment_intent", request.path_params["id"])
        if intent is None or intent["status"] != "requires_action":
            return _not_found()
        if request.method == "GET":
            due = money(intent["amount"], intent["currency"])
            body = f"<p>A payment of {due} asks for your consent.</p><form method=post>"
            body += "<button name=answer value=complete>Complete</button> "
            body += "<button class=plain name=answer value=fail>Fail</button></form>"
            return HTMLResponse(document("Authentication", body))
        now = sandbox.now_of(intent)
        error = payments.authenticate(sandbox, intent, passed=form.get("answer") == "complete", now=now)
        invoice_state.intent_settled(sandbox, intent, now)
    words = str(error) if error else "Thank you. You can close this page."
    return HTMLResponse(document("Authentication", notice(words)), 402 if error else 200)


async def onboarding_page(request: Request) -> Response:
    """Opening a Connect onboarding link submits the account's details and returns."""
    sandbox = _sandbox(request)
    with sandbox.lock:
        account = sandbox.store.get("account", request.path_params["id"])
        if account is None or account.get("_link") != request.path_params["secret"]:
            return _not_found()
        account |= {"details_submitted": True, "_link": None}
        sandbox.save(account)
        sandbox.emit("account.updated", account, {"details_submitted": False})
        target: Any = account["_return_url"]
    return RedirectResponse(target, 303) if target else HTMLResponse(document("Done", notice("Details submitted.")))


async def express_page(request: Request) -> Response:
    """What a connected account has, and what it was sent."""
    sandbox = _sandbox(request)
    with sandbox.lock:
        account = sandbox.store.get("account", request.path_params["id"])
        if account is None:
            return _not_found()
        sent = reversed(sandbox.store.by("transfer", "destination", account["id"]))
        rows = [
            (t["id"], date_text(t["created"]), money(t["amount"] - t["amount_reversed"], t["currency"])) for t in sent
        ]
    body = figures(rows) if rows else "<p class=quiet>No transfers yet.</p>"
    return HTMLResponse(document("Transfers", body))


ROUTES = [
    Route("/pay/{id}", checkout_page, methods=["GET", "POST"]),
    Route("/portal/{id}", portal_page, methods=["GET", "POST"]),
    Route("/invoices/{id}", invoice_page, methods=["GET", "POST"]),
    Route("/authenticate/{id}", authenticate_page, methods=["GET", "POST"]),
    Route("/express/{id}", express_page),
    Route("/onboarding/{id}/{secret}", onboarding_page),
]
