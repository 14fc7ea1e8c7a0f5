"""What a subscription sells: its items, their prices, and the plan-shaped copy of a price that answers still carry."""

from billing.sandbox.core import Sandbox
from billing.sandbox.errors import refused, required
from billing.sandbox.resources.catalogue import price_from_data
from billing.sandbox.resources.common import merge_metadata
from billing.sandbox.state import Obj

MAX_ITEMS = 20


def item_new(sandbox: Sandbox, subscription: Obj, given: Obj, now: int, param: str = "items") -> Obj:
    """An item for an `items[]` entry, appended to the subscription (which the caller stores)."""
    price = price_given(sandbox, given, param)
    item = sandbox.new("subscription_item", created=now, subscription=subscription["id"])
    item |= {"quantity": given.get("quantity", 1), "tax_rates": tax_rates_of(sandbox, given.get("tax_rates"))}
    set_price(item, price)
    merge_metadata(item, given)
    items = subscription["items"]["data"]
    if len(items) >= MAX_ITEMS:
        raise refused(f"A subscription can have at most {MAX_ITEMS} items.", param=param)
    items.append(item)
    sandbox.store.put("_item", {"id": item["id"], "subscription": subscription["id"]})
    return item


def price_given(sandbox: Sandbox, given: Obj, param: str) -> Obj:
    """The price that an entry names or describes."""
    if "price" in given:
        price = sandbox.find("price", given["price"], f"{param}[price]")
        if not price["active"]:
            raise refused(
                "The price specified is inactive. This field only accepts active prices.", param=f"{param}[price]"
            )
        return price
    if "price_data" in given:
        return price_from_data(sandbox, given["price_data"])
    raise required(f"{param}[price]")


def set_price(item: Obj, price: Obj) -> None:
    """Sell at this (recurring) price."""
    if price["type"] != "recurring":
        raise refused(
            "The price specified is set to `type=one_time` but this field only accepts prices with `type=recurring`.",
            param="items[price]",
        )
    item["price"] = dict(price)
    recurring = price["recurring"]
    item["plan"] = {
        "id": price["id"],
        "object": "plan",
        "active": price["active"],
        "amount": price["unit_amount"],
        "amount_decimal": price["unit_amount_decimal"],
        "billing_scheme": price["billing_scheme"],
        "created": price["created"],
        "currency": price["currency"],
        "interval": recurring["interval"],
        "interval_count": recurring["interval_count"],
        "livemode": False,
        "metadata": price["metadata"],
        "meter": None,
        "nickname": price["nickname"],
        "product": price["product"],
        "tiers_mode": None,
        "transform_usage": None,
        "trial_period_days": None,
        "usage_type": recurring["usage_type"],
    }


def tax_rates_of(sandbox: Sandbox, idents: list[str] | str | None) -> list[Obj]:
    """Tax rate objects for a list of ids ("" and None are none)."""
    return [dict(sandbox.find("tax_rate", ident, "tax_rates")) for ident in idents or []]


def check_alike(subscription: Obj) -> None:
    """All items bill in one currency and at one interval."""
    prices = [item["price"] for item in subscription["items"]["data"]]
    if not prices:
        raise required("items")
    if len({price["currency"] for price in prices}) > 1:
        raise refused("All prices on a subscription must have the same `currency`.", param="items")
    if len({(p["recurring"]["interval"], p["recurring"]["interval_count"]) for p in prices}) > 1:
        raise refused("All prices on a subscription must have the same `recurring.interval`.", param="items")


def interval_of(subscription: Obj) -> tuple[str, int]:
    """How long a period is: ("month", 1)."""
    recurring = subscription["items"]["data"][0]["price"]["recurring"]
    return recurring["interval"], recurring["interval_count"]


def period_of(subscription: Obj) -> tuple[int, int]:
    """The current period: (start, end)."""
    item = subscription["items"]["data"][0]
    return item["current_period_start"], item["current_period_end"]


def set_period(subscription: Obj, start: int, end: int) -> None:
    for item in subscription["items"]["data"]:
        item["current_period_start"], item["current_period_end"] = start, end
