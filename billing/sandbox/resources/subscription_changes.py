"""Changing a running subscription: prices, quantities, trials, cancellation; prorated by the second."""

import copy

from billing.sandbox.api import call
from billing.sandbox.core import Sandbox
from billing.sandbox.errors import missing, refused
from billing.sandbox.periods import boundary_after
from billing.sandbox.render import listing
from billing.sandbox.resources import discounts, invoice_items, invoice_state, prorations, subscription_state
from billing.sandbox.resources.common import jsonable, merge_metadata
from billing.sandbox.resources.subscription_items import (
    check_alike,
    interval_of,
    item_new,
    period_of,
    price_given,
    set_period,
    set_price,
    tax_rates_of,
)
from billing.sandbox.resources.subscription_lines import period_lines
from billing.sandbox.resources.subscriptions import apply_settings, set_cancel_at
from billing.sandbox.state import Obj


@call("POST", "subscriptions/{id}", "SubscriptionUpdateParams")
def subscription_update(sandbox: Sandbox, params: Obj, ident: str) -> Obj:
    subscription = sandbox.find("subscription", ident)
    if subscription["status"] in subscription_state.ENDED and params.keys() - {"metadata", "expand"}:
        raise refused("A canceled subscription can only update its cancellation_details and metadata.")
    now = sandbox.now_of(subscription)
    before = copy.deepcopy(subscription["items"]["data"])
    period_before = period_of(subscription)
    interval_before = interval_of(subscription)
    status_before = subscription["status"]
    if "items" in params:
        edit_items(sandbox, subscription, params["items"], now)
    previous = apply_settings(sandbox, subscription, params)
    if "pause_collection" in params:
        subscription["pause_collection"] = jsonable(params["pause_collection"]) or None
    if "discounts" in params:
        customer = sandbox.find("customer", subscription["customer"])
        found = [discounts.redeem(sandbox, d, customer, subscription=ident) for d in params["discounts"] or []]
        subscription["discounts"] = [discount["id"] for discount in found]
    set_cancel_at(sandbox, subscription, params, now)
    behaviour = params.get("proration_behavior", "create_prorations")
    set_period(subscription, *period_before)
    restart = interval_of(subscription) != interval_before or params.get("billing_cycle_anchor") == "now"
    restart = restart and status_before != "trialing"  # a trial ends when it ends
    ends_trial = _set_trial(sandbox, subscription, params, now)
    old, new = prorations.changed(before, subscription["items"]["data"])
    if restart and not ends_trial:
        old, new = before, []  # what is left of the old period is credited; the new period is charged whole
    if behaviour != "none" and status_before != "trialing":
        prorations.prorate_items(sandbox, subscription, old, new, params.get("proration_date", now))
    if old or new:
        previous["items"] = {"data": before}
    if restart or ends_trial:
        _restart_period(sandbox, subscription, now)
    elif behaviour == "always_invoice":
        _invoice_prorations(sandbox, subscription, now)
    sandbox.save(subscription)
    sandbox.emit("customer.subscription.updated", subscription, previous)
    return subscription


def edit_items(sandbox: Sandbox, subscription: Obj, given: list[Obj], now: int) -> None:
    """Apply `items[]` of an update: entries with an id change or delete that item, others add one."""
    items = subscription["items"]["data"]
    for entry in given:
        if "id" not in entry:
            item = item_new(sandbox, subscription, entry, now)
            start, end = items[0]["current_period_start"], items[0]["current_period_end"]
            item["current_period_start"], item["current_period_end"] = start, end
            continue
        found = [item for item in items if item["id"] == entry["id"]]
        if not found:
            raise missing("subscription item", entry["id"], "items[id]")
        item = found[0]
        if entry.get("deleted"):
            items.remove(item)
            continue
        edit_item(sandbox, item, entry)
    check_alike(subscription)
    subscription["items"]["total_count"] = len(items)


def edit_item(sandbox: Sandbox, item: Obj, entry: Obj) -> None:
    """Price, quantity, tax rates and metadata of one item."""
    if "price" in entry or "price_data" in entry:
        set_price(item, price_given(sandbox, entry, "items"))
    item["quantity"] = entry.get("quantity", item["quantity"])
    if "tax_rates" in entry:
        item["tax_rates"] = tax_rates_of(sandbox, entry["tax_rates"])
    merge_metadata(item, entry)


def _set_trial(sandbox: Sandbox, subscription: Obj, params: Obj, now: int) -> bool:
    """`trial_end`; True when a running trial ends by it."""
    wanted = params.get("trial_end")
    if wanted == "now" or (wanted is None and params.get("trial_from_plan") is False):
        ending = subscription["status"] == "trialing"
        if ending:
            subscription |= {"trial_end": now, "status": "active"}
        return ending
    if isinstance(wanted, int):
        if wanted <= now:
            raise refused("Invalid timestamp: trial_end must be in the future.", param="trial_end")
        subscription |= {"status": "trialing", "trial_start": subscription["trial_start"] or now}
        subscription |= {"trial_end": wanted, "billing_cycle_anchor": wanted}
        set_period(subscription, now, wanted)
        subscription_state.plan_period_end(sandbox, subscription)
    return False


def _restart_period(sandbox: Sandbox, subscription: Obj, now: int) -> None:
    """A new period begins now, invoiced and collected at once."""
    subscription["billing_cycle_anchor"] = now
    set_period(subscription, now, boundary_after(now, *interval_of(subscription), now))
    subscription_state.plan_period_end(sandbox, subscription)
    customer = sandbox.find("customer", subscription["customer"])
    invoice = invoice_state.draft(sandbox, customer, subscription["currency"], "subscription_update", now, subscription)
    period_lines(sandbox, invoice, subscription, period_of(subscription))
    _finish(sandbox, subscription, invoice, now)


def _invoice_prorations(sandbox: Sandbox, subscription: Obj, now: int) -> None:
    if not invoice_items.pending(
        sandbox, subscription["customer"], subscription["currency"], subscription["id"], own=True
    ):
        return
    customer = sandbox.find("customer", subscription["customer"])
    invoice = invoice_state.draft(sandbox, customer, subscription["currency"], "subscription_update", now, subscription)
    _finish(sandbox, subscription, invoice, now)


def _finish(sandbox: Sandbox, subscription: Obj, invoice: Obj, now: int) -> None:
    invoice_items.attach_pending(sandbox, invoice, subscription["id"])
    invoice_state.save(sandbox, invoice)
    subscription["latest_invoice"] = invoice["id"]
    subscription["discounts"] = discounts.after_invoice(sandbox, subscription["discounts"])
    sandbox.save(subscription)
    sandbox.emit("invoice.created", invoice)
    invoice_state.finalize(sandbox, invoice, now)


@call("POST", "subscriptions/{id}/resume", "SubscriptionResumeParams")
def subscription_resume(sandbox: Sandbox, params: Obj, ident: str) -> Obj:
    subscription = sandbox.find("subscription", ident)
    if subscription["status"] != "paused":
        raise refused("You can only resume a paused subscription.")
    subscription["status"] = "active"
    _restart_period(sandbox, subscription, sandbox.now_of(subscription))
    sandbox.save(subscription)
    sandbox.emit("customer.subscription.resumed", subscription)
    return subscription


@call("DELETE", "subscriptions/{id}/discount", "SubscriptionDeleteDiscountParams")
def subscription_discount_delete(sandbox: Sandbox, params: Obj, ident: str) -> Obj:
    subscription = sandbox.find("subscription", ident)
    if not subscription["discounts"]:
        raise refused("No active discount for subscription.", "resource_missing")
    gone = sandbox.find("discount", subscription["discounts"][0])
    subscription["discounts"] = []
    sandbox.save(subscription)
    return gone | {"deleted": True}


def _owner(sandbox: Sandbox, item_id: str) -> tuple[Obj, Obj]:
    pointer = sandbox.store.get("_item", item_id)
    subscription = sandbox.store.get("subscription", pointer["subscription"]) if pointer else None
    if subscription is not None:
        for item in subscription["items"]["data"]:
            if item["id"] == item_id:
                return subscription, item
    raise missing("subscription_item", item_id)


@call("GET", "subscription_items", "SubscriptionItemListParams")
def subscription_item_list(sandbox: Sandbox, params: Obj) -> Obj:
    subscription = sandbox.find("subscription", params["subscription"], "subscription")
    return listing(subscription["items"]["data"], "/v1/subscription_items")


@call("GET", "subscription_items/{id}", "SubscriptionItemRetrieveParams")
def subscription_item_retrieve(sandbox: Sandbox, params: Obj, ident: str) -> Obj:
    return _owner(sandbox, ident)[1]


@call("POST", "subscription_items/{id}", "SubscriptionItemUpdateParams")
def subscription_item_update(sandbox: Sandbox, params: Obj, ident: str) -> Obj:
    subscription, item = _owner(sandbox, ident)
    entry = {
        name: params[name] for name in ("price", "price_data", "quantity", "tax_rates", "metadata") if name in params
    }
    passed = {name: params[name] for name in ("proration_behavior", "proration_date") if name in params}
    subscription_update(sandbox, {"items": [entry | {"id": ident}]} | passed, subscription["id"])
    return item
