"""Refunds, whole or in part, and those that the bank sends back later."""

from billing.sandbox.api import call
from billing.sandbox.core import Sandbox
from billing.sandbox.errors import refused, required
from billing.sandbox.render import page, public
from billing.sandbox.resources.common import check_amount, check_step, merge_metadata, rows_filtered
from billing.sandbox.resources.money import book
from billing.sandbox.state import Obj


@call("POST", "refunds", "RefundCreateParams")
def refund_create(sandbox: Sandbox, params: Obj) -> Obj:
    charge = _charge_given(sandbox, params)
    return refund_charge(sandbox, charge, params.get("amount"), params)


def _charge_given(sandbox: Sandbox, params: Obj) -> Obj:
    if params.get("charge"):
        return sandbox.find("charge", params["charge"], "charge")
    if not params.get("payment_intent"):
        raise required("payment_intent")
    intent = sandbox.find("payment_intent", params["payment_intent"], "payment_intent")
    if intent["status"] != "succeeded":
        raise refused("This PaymentIntent does not have a successful charge to refund.", param="payment_intent")
    return sandbox.find("charge", intent["latest_charge"])


def refund_charge(sandbox: Sandbox, charge: Obj, amount: int | None, params: Obj) -> Obj:
    """Give back `amount` minor units of a charge (None: what is left)."""
    if charge["status"] != "succeeded" or not charge["captured"]:
        raise refused(f"Charge {charge['id']} is not a captured payment.", "charge_not_refundable")
    if charge["disputed"]:
        raise refused(f"Charge {charge['id']} has been charged back; cannot issue a refund.", "charge_disputed")
    left = charge["amount_captured"] - charge["amount_refunded"]
    if left == 0:
        raise refused(f"Charge {charge['id']} has already been refunded.", "charge_already_refunded")
    amount = check_step(check_amount(left if amount is None else amount), charge["currency"])
    if amount > left:
        raise refused(f"Refund amount ({amount}) is greater than unrefunded amount on charge ({left})", param="amount")
    now = sandbox.now_of(charge)
    refund = sandbox.new("refund", created=now, amount=amount, charge=charge["id"], currency=charge["currency"])
    refund |= {"payment_intent": charge["payment_intent"], "reason": params.get("reason")}
    refund |= {"customer": charge["customer"], "payment_method": charge["payment_method"]}
    merge_metadata(refund, params)
    refund["balance_transaction"] = book(sandbox, -amount, charge["currency"], "refund", refund["id"], now)["id"]
    sandbox.save(refund)
    previous = _count(sandbox, charge, amount)
    sandbox.emit("refund.created", refund, created=now)
    sandbox.emit("charge.refunded", charge, previous)
    return refund


def fail_refund(sandbox: Sandbox, refund: Obj) -> Obj:
    """The bank could not pay it out after all (a closed account): the money is back with the merchant."""
    if refund["status"] != "succeeded":
        raise refused(f"Refund {refund['id']} is {refund['status']}.")
    charge = sandbox.find("charge", refund["charge"])
    now = sandbox.now_of(charge)
    row = book(sandbox, refund["amount"], refund["currency"], "refund_failure", refund["id"], now)
    refund |= {"status": "failed", "failure_reason": "expired_or_canceled_card"}
    refund["failure_balance_transaction"] = row["id"]
    sandbox.save(refund)
    _count(sandbox, charge, -refund["amount"])
    sandbox.emit("refund.updated", refund, {"status": "succeeded"})
    sandbox.emit("refund.failed", refund, created=now)
    return refund


def _count(sandbox: Sandbox, charge: Obj, amount: int) -> Obj:
    """Bring the charge's own account of its refunds up to date; what it said before."""
    previous = {"amount_refunded": charge["amount_refunded"], "refunded": charge["refunded"]}
    charge["amount_refunded"] += amount
    charge["refunded"] = charge["amount_refunded"] == charge["amount_captured"]
    rows = sandbox.store.by("refund", "charge", charge["id"])
    charge["refunds"] = charge["refunds"] | {"data": [public(row) for row in reversed(rows)][:10]}
    sandbox.save(charge)
    return previous


@call("GET", "refunds", "RefundListParams")
def refund_list(sandbox: Sandbox, params: Obj) -> Obj:
    rows = rows_filtered(sandbox, "refund", params, "charge payment_intent")
    return page(sandbox.store, "refund", rows, params, "/v1/refunds")


@call("GET", "refunds/{id}", "RefundRetrieveParams")
def refund_retrieve(sandbox: Sandbox, params: Obj, ident: str) -> Obj:
    return sandbox.find("refund", ident)


@call("POST", "refunds/{id}", "RefundUpdateParams")
def refund_update(sandbox: Sandbox, params: Obj, ident: str) -> Obj:
    refund = sandbox.find("refund", ident)
    merge_metadata(refund, params)
    sandbox.save(refund)
    sandbox.emit("refund.updated", refund)
    return refund
