"""Charging a card: what a payment intent does when it is confirmed, and the money that moves."""

from billing.sandbox.cards import OUTCOMES, decline
from billing.sandbox.core import Sandbox
from billing.sandbox.errors import StripeError
from billing.sandbox.ids import token
from billing.sandbox.render import public
from billing.sandbox.resources.common import check_step
from billing.sandbox.resources.disputes import open_dispute
from billing.sandbox.resources.money import book
from billing.sandbox.state import Obj


def intent_new(sandbox: Sandbox, amount: int, currency: str, customer_id: str | None, now: int) -> Obj:
    """A stored payment intent that nobody has confirmed yet."""
    check_step(amount, currency)
    intent = sandbox.new("payment_intent", created=now, amount=amount, currency=currency, customer=customer_id)
    intent["client_secret"] = f"{intent['id']}_secret_{token(24)}"
    sandbox.save(intent)
    sandbox.emit("payment_intent.created", intent)
    return intent


def confirm(sandbox: Sandbox, intent: Obj, method: Obj, now: int, *, off_session: bool) -> StripeError | None:
    """Charge `method` for the intent. Success, or a wait for the cardholder, is None; a decline is the error.

    The decline is returned and not raised: the failed intent and its charge are facts that must be kept.
    """
    intent["payment_method"] = method["id"]
    outcome = outcome_of(method, off_session)
    if outcome == "requires_action":
        intent["status"] = "requires_action"
        intent["next_action"] = {
            "type": "redirect_to_url",
            "redirect_to_url": {"url": f"{sandbox.base_url}/authenticate/{intent['id']}", "return_url": None},
        }
        sandbox.save(intent)
        sandbox.emit("payment_intent.requires_action", intent)
        return None
    if outcome in OUTCOMES:
        return _fail(sandbox, intent, method, outcome, now)
    _succeed(sandbox, intent, method, now, dispute=outcome == "dispute")
    return None


def outcome_of(method: Obj, off_session: bool) -> str:
    """What charging this method does: "" (paid), "dispute" (paid, then disputed), "requires_action", or a decline."""
    rule = method.get("_charge", "")
    if rule == "auth_setup":  # asks once, on set-up or the first payment; later charges pass
        rule = "" if method.get("_authenticated") else "auth"
    if rule == "auth":
        return "authentication_required" if off_session else "requires_action"
    return rule


def authenticate(sandbox: Sandbox, intent: Obj, *, passed: bool, now: int) -> StripeError | None:
    """The cardholder answered the bank's question."""
    method = sandbox.find("payment_method", intent["payment_method"])
    intent["next_action"] = None
    if not passed:
        return _fail(sandbox, intent, method, "authentication_required", now)
    method["_authenticated"] = True
    sandbox.save(method)
    _succeed(sandbox, intent, method, now, dispute=False)
    return None


def _charge_new(sandbox: Sandbox, intent: Obj, method: Obj, now: int) -> Obj:
    charge = sandbox.new("charge", created=now, amount=intent["amount"], currency=intent["currency"])
    for name in ("customer", "description", "transfer_group", "receipt_email", "on_behalf_of", "transfer_data"):
        charge[name] = intent[name]
    charge["metadata"] = dict(intent["metadata"])
    charge |= {"payment_intent": intent["id"], "payment_method": method["id"]}
    charge["billing_details"] = method["billing_details"]
    card = method["card"]
    known = ("brand", "checks", "country", "exp_month", "exp_year", "fingerprint", "funding", "last4", "wallet")
    charge["payment_method_details"] = {
        "type": "card",
        "card": {name: card[name] for name in known}
        | {"network": card["brand"], "amount_authorized": charge["amount"]},
    }
    charge["refunds"] = charge["refunds"] | {"url": f"/v1/charges/{charge['id']}/refunds"}
    return charge


def _succeed(sandbox: Sandbox, intent: Obj, method: Obj, now: int, *, dispute: bool) -> None:
    charge = _charge_new(sandbox, intent, method, now)
    held = intent["capture_method"] == "manual"
    charge["outcome"] = {"network_status": "approved_by_network", "reason": None, "type": "authorized"}
    charge["outcome"] |= {"seller_message": "Payment complete.", "network_decline_code": None}
    charge["captured"] = not held
    charge["amount_captured"] = 0 if held else charge["amount"]
    sandbox.save(charge)
    intent |= {"latest_charge": charge["id"], "last_payment_error": None, "next_action": None}
    if held:
        intent |= {"status": "requires_capture", "amount_capturable": intent["amount"]}
        sandbox.save(intent)
        sandbox.emit("payment_intent.amount_capturable_updated", intent)
        return
    settle(sandbox, intent, charge, now)
    if dispute:
        open_dispute(sandbox, charge, now)


def settle(sandbox: Sandbox, intent: Obj, charge: Obj, now: int) -> None:
    """The captured money is ours: balance, final states, events."""
    row = book(sandbox, charge["amount_captured"], charge["currency"], "charge", charge["id"], now)
    charge |= {"captured": True, "balance_transaction": row["id"]}
    sandbox.save(charge)
    intent |= {"status": "succeeded", "amount_received": charge["amount_captured"], "amount_capturable": 0}
    sandbox.save(intent)
    sandbox.emit("charge.succeeded", charge)
    sandbox.emit("payment_intent.succeeded", intent)


def _fail(sandbox: Sandbox, intent: Obj, method: Obj, outcome: str, now: int) -> StripeError:
    code, decline_code, message = OUTCOMES[outcome]
    charge = _charge_new(sandbox, intent, method, now)
    charge |= {"status": "failed", "paid": False, "captured": False, "failure_code": code, "failure_message": message}
    charge["outcome"] = {"network_status": "declined_by_network", "reason": decline_code or code}
    charge["outcome"] |= {"type": "issuer_declined", "seller_message": message, "network_decline_code": None}
    sandbox.save(charge)
    error = decline(outcome, charge=charge["id"])
    intent |= {"status": "requires_payment_method", "latest_charge": charge["id"], "payment_method": None}
    intent["last_payment_error"] = error.body | {"payment_method": public(method)}
    sandbox.save(intent)
    sandbox.emit("charge.failed", charge)
    sandbox.emit("payment_intent.payment_failed", intent)
    error.body |= {"payment_intent": public(intent), "payment_method": public(method)}
    return error
