"""Invoice lines of a subscription: a period's fixed price, a share of one, or a trial's nothing."""

from datetime import UTC, datetime

from billing.sandbox.core import Sandbox
from billing.sandbox.periods import prorate, step_of
from billing.sandbox.resources import invoice_state
from billing.sandbox.resources.catalogue import price_amount
from billing.sandbox.state import Obj


def period_lines(
    sandbox: Sandbox,
    invoice: Obj,
    subscription: Obj,
    period: tuple[int, int],
    *,
    trial: bool = False,
    of_period: tuple[int, int] | None = None,
) -> None:
    """A line for each item and this period. `of_period`: the whole period that `period` is only a part of."""
    for item in subscription["items"]["data"]:
        price = item["price"]
        amount = 0 if trial else price_amount(price, item["quantity"])
        if of_period is not None:
            amount = prorate(amount, period[0], period[1], *of_period, step_of(price["currency"]))
        invoice_state.line_add(
            sandbox,
            invoice,
            amount=amount,
            description=_describe(sandbox, item, period, trial),
            period=period,
            parent=item_parent(subscription["id"], item["id"], proration=of_period is not None),
            price=price,
            quantity=item["quantity"],
            tax_rates=[rate["id"] for rate in item["tax_rates"]],
            discountable=of_period is None,
            metadata=subscription["metadata"],
            subscription=subscription["id"],
        )


def item_parent(subscription_id: str, item_id: str, *, proration: bool = False) -> Obj:
    """The `parent` of a line that comes from a subscription item."""
    details: Obj = {"invoice_item": None, "proration": proration, "proration_details": {"credited_items": None}}
    details |= {"subscription": subscription_id, "subscription_item": item_id}
    return {"type": "subscription_item_details", "subscription_item_details": details, "invoice_item_details": None}


def product_name(sandbox: Sandbox, price: Obj) -> str:
    product = sandbox.store.get("product", price["product"])
    return product["name"] if product and product["name"] else price["nickname"] or price["id"]


def date_text(moment: int) -> str:
    """`28 Jan 2026`, UTC."""
    return f"{datetime.fromtimestamp(moment, UTC):%d %b %Y}"


def _describe(sandbox: Sandbox, item: Obj, period: tuple[int, int], trial: bool) -> str:
    name = product_name(sandbox, item["price"])
    if trial:
        return f"Trial period for {name}"
    recurring = item["price"]["recurring"]
    unit = f"{item['price']['unit_amount_decimal']} {item['price']['currency'].upper()} minor units"
    every = recurring["interval"] if recurring["interval_count"] == 1 else f"{recurring['interval_count']} months"
    return f"{item['quantity']} × {name} (at {unit} / {every})"
