"""Invoice previews: what the next invoice, or a change of plan, would come to. Nothing is kept."""

import copy

from billing.sandbox.api import call
from billing.sandbox.core import Sandbox
from billing.sandbox.errors import refused
from billing.sandbox.periods import boundary_after
from billing.sandbox.resources import invoice_items, invoice_state, prorations
from billing.sandbox.resources.invoice_totals import recalculate
from billing.sandbox.resources.subscription_changes import edit_items
from billing.sandbox.resources.subscription_items import interval_of, period_of, set_period
from billing.sandbox.resources.subscription_lines import period_lines
from billing.sandbox.state import Obj


@call("POST", "invoices/create_preview", "InvoiceCreatePreviewParams")
def invoice_preview(sandbox: Sandbox, params: Obj) -> Obj:
    """The upcoming invoice of a subscription, with `subscription_details[items]` applied first when given."""
    if not params.get("subscription"):
        raise refused("The sandbox previews existing subscriptions only.", "parameter_missing", "subscription")
    subscription = copy.deepcopy(sandbox.find("subscription", params["subscription"], "subscription"))
    details = params.get("subscription_details") or {}
    now = details.get("proration_date", sandbox.now_of(subscription))
    before = copy.deepcopy(subscription["items"]["data"])
    interval = interval_of(subscription)
    kept = sandbox.store.count("_item")
    edit_items(sandbox, subscription, details.get("items", []), now)
    for item in subscription["items"]["data"] if sandbox.store.count("_item") != kept else []:
        if item["id"] not in {old["id"] for old in before}:
            sandbox.store.remove("_item", item["id"])
    old, new = prorations.changed(before, subscription["items"]["data"])
    restart = interval_of(subscription) != interval
    shares = []
    if details.get("proration_behavior", "create_prorations") != "none":
        shares = prorations.shares(sandbox, subscription, before if restart else old, [] if restart else new, now)
    return _preview(sandbox, subscription, shares, now, restart=restart, details=details)


def _preview(sandbox: Sandbox, subscription: Obj, shares: list[Obj], now: int, *, restart: bool, details: Obj) -> Obj:
    start, end = period_of(subscription)
    customer = sandbox.find("customer", subscription["customer"])
    at_once = restart or details.get("proration_behavior") == "always_invoice"
    moment = now if at_once else end
    invoice = invoice_state.draft(sandbox, customer, subscription["currency"], "upcoming", moment, subscription)
    invoice |= {"id": f"upcoming_{invoice['id']}", "period_start": start, "period_end": moment, "auto_advance": False}
    for share in shares:
        invoice_items.line_for(sandbox, invoice, share)
    for item in invoice_items.pending(sandbox, customer["id"], subscription["currency"], subscription["id"]):
        invoice_items.line_for(sandbox, invoice, item)
    if restart or not at_once:
        anchor = now if restart else subscription["billing_cycle_anchor"]
        set_period(subscription, moment, boundary_after(anchor, *interval_of(subscription), moment))
        period_lines(sandbox, invoice, subscription, period_of(subscription))
    return recalculate(sandbox, invoice)
