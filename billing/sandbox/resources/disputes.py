"""Disputes: opened by a test card, ended by evidence or by giving up."""

from billing.sandbox.api import call
from billing.sandbox.core import Sandbox
from billing.sandbox.errors import refused
from billing.sandbox.render import page, public
from billing.sandbox.resources.common import jsonable, merge_metadata, rows_filtered
from billing.sandbox.resources.money import book
from billing.sandbox.state import Obj

_OPEN = ("needs_response", "under_review", "warning_needs_response")
_DAYS_TO_ANSWER = 9


def open_dispute(sandbox: Sandbox, charge: Obj, now: int) -> Obj:
    """The cardholder's bank takes the money back until the dispute is decided."""
    dispute = sandbox.new("dispute", created=now, amount=charge["amount"], currency=charge["currency"])
    dispute |= {"charge": charge["id"], "payment_intent": charge["payment_intent"]}
    dispute["evidence_details"]["due_by"] = now + _DAYS_TO_ANSWER * 86_400
    dispute["payment_method_details"]["card"] = {
        "brand": charge["payment_method_details"]["card"]["brand"],
        "case_type": "chargeback",
        "network_reason_code": "10.4",
    }
    row = book(sandbox, -dispute["amount"], dispute["currency"], "adjustment", dispute["id"], now)
    dispute["balance_transactions"].append(public(row))
    sandbox.save(dispute)
    charge["disputed"] = True
    sandbox.save(charge)
    sandbox.emit("charge.dispute.created", dispute, created=now)
    sandbox.emit("charge.dispute.funds_withdrawn", dispute, created=now)
    return dispute


@call("GET", "disputes", "DisputeListParams")
def dispute_list(sandbox: Sandbox, params: Obj) -> Obj:
    rows = rows_filtered(sandbox, "dispute", params, "charge payment_intent")
    return page(sandbox.store, "dispute", rows, params, "/v1/disputes")


@call("GET", "disputes/{id}", "DisputeRetrieveParams")
def dispute_retrieve(sandbox: Sandbox, params: Obj, ident: str) -> Obj:
    return sandbox.find("dispute", ident)


@call("POST", "disputes/{id}", "DisputeUpdateParams")
def dispute_update(sandbox: Sandbox, params: Obj, ident: str) -> Obj:
    """Evidence. As in Stripe's test mode, `winning_evidence` and `losing_evidence` as the text decide the case."""
    dispute = _undecided(sandbox, ident)
    evidence = jsonable(params.get("evidence") or {})
    dispute["evidence"] |= evidence
    merge_metadata(dispute, params)
    if evidence:
        dispute["evidence_details"]["has_evidence"] = True
    if evidence and params.get("submit", True):
        dispute["evidence_details"]["submission_count"] += 1
        dispute["status"] = "under_review"
    sandbox.save(dispute)
    sandbox.emit("charge.dispute.updated", dispute, created=_now(sandbox, dispute))
    verdict = dispute["evidence"].get("uncategorized_text")
    if dispute["status"] == "under_review" and verdict in ("winning_evidence", "losing_evidence"):
        decide(sandbox, dispute, won=verdict == "winning_evidence")
    return dispute


@call("POST", "disputes/{id}/close", "DisputeCloseParams")
def dispute_close(sandbox: Sandbox, params: Obj, ident: str) -> Obj:
    """Give up: the dispute is lost."""
    return decide(sandbox, _undecided(sandbox, ident), won=False)


def decide(sandbox: Sandbox, dispute: Obj, *, won: bool) -> Obj:
    """The bank's verdict; a win brings the money back."""
    now = _now(sandbox, dispute)
    dispute["status"] = "won" if won else "lost"
    if won:
        row = book(sandbox, dispute["amount"], dispute["currency"], "adjustment", dispute["id"], now)
        dispute["balance_transactions"].append(public(row))
        charge = sandbox.find("charge", dispute["charge"])
        charge["disputed"] = False
        sandbox.save(charge)
    sandbox.save(dispute)
    if won:
        sandbox.emit("charge.dispute.funds_reinstated", dispute, created=now)
    sandbox.emit("charge.dispute.closed", dispute, created=now)
    return dispute


def overturn(sandbox: Sandbox, dispute: Obj) -> Obj:
    """A lost dispute is appealed and won: the money comes back after all."""
    if dispute["status"] != "lost":
        raise refused(f"Dispute {dispute['id']} is {dispute['status']}.")
    dispute["status"] = "appeal_under_review"
    sandbox.save(dispute)
    sandbox.emit("charge.dispute.updated", dispute, {"status": "lost"}, created=_now(sandbox, dispute))
    return decide(sandbox, dispute, won=True)


def _undecided(sandbox: Sandbox, ident: str) -> Obj:
    dispute = sandbox.find("dispute", ident)
    if dispute["status"] not in _OPEN:
        raise refused("This dispute is already closed.", "dispute_already_closed")
    return dispute


def _now(sandbox: Sandbox, dispute: Obj) -> int:
    charge = sandbox.store.get("charge", dispute["charge"])
    return sandbox.now_of(charge) if charge else sandbox.clock.now()
