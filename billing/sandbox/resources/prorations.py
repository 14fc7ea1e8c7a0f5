"""Prorations: credit for the unused rest of a period, charge for the rest of it at the new price, by the second."""

from billing.sandbox.core import Sandbox
from billing.sandbox.periods import boundary_before, prorate, step_of
from billing.sandbox.resources import invoice_items
from billing.sandbox.resources.catalogue import price_amount
from billing.sandbox.resources.subscription_items import period_of
from billing.sandbox.resources.subscription_lines import date_text, product_name
from billing.sandbox.state import Obj


def credit_unused(sandbox: Sandbox, subscription: Obj, now: int) -> list[Obj]:
    """Pending credits for the rest of the period of every item."""
    return prorate_items(sandbox, subscription, list(subscription["items"]["data"]), [], now)


def prorate_items(sandbox: Sandbox, subscription: Obj, before: list[Obj], after: list[Obj], now: int) -> list[Obj]:
    """Pending invoice items for a change from `before` to `after` at `now`."""
    made = shares(sandbox, subscription, before, after, now)
    for item in made:
        sandbox.save(item)
        sandbox.emit("invoiceitem.created", item)
    return made


def shares(sandbox: Sandbox, subscription: Obj, before: list[Obj], after: list[Obj], now: int) -> list[Obj]:
    """The items of a change, not stored; trials, ended periods and periods that nobody was billed for owe nothing.

    Shares are of a whole interval, so that a first period cut short by the anchor gives back what it cost and no more.
    """
    start, end = period_of(subscription)
    if subscription["status"] == "trialing" or subscription["latest_invoice"] is None or not start <= now < end:
        return []
    billed = (before or after)[0]["price"]["recurring"] if before or after else None
    if billed is None:
        return []
    begin = boundary_before(subscription["billing_cycle_anchor"], billed["interval"], billed["interval_count"], end)
    made = []
    for sign, items, words in ((-1, before, "Unused time on"), (1, after, "Remaining time on")):
        for item in items:
            whole, step = price_amount(item["price"], item["quantity"]), step_of(subscription["currency"])
            amount = sign * prorate(whole, now, end, begin, end, step)
            text = f"{words} {product_name(sandbox, item['price'])} after {date_text(now)}"
            made.append(
                invoice_items.proration_item(
                    sandbox, subscription, item, amount=amount, description=text, period=(now, end)
                )
            )
    return made


def changed(before: list[Obj], after: list[Obj]) -> tuple[list[Obj], list[Obj]]:
    """Those items that differ in price or quantity: (as they were, as they are)."""
    old = {item["id"]: (item["price"]["id"], item["quantity"]) for item in before}
    new = {item["id"]: (item["price"]["id"], item["quantity"]) for item in after}
    return (
        [item for item in before if new.get(item["id"]) != old[item["id"]]],
        [item for item in after if old.get(item["id"]) != new[item["id"]]],
    )
