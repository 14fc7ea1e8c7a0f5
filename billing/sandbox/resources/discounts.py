"""Discounts: a coupon at work on a subscription or an invoice."""

from billing.sandbox.core import Sandbox
from billing.sandbox.periods import add_months
from billing.sandbox.resources.catalogue import coupon_for
from billing.sandbox.state import Obj


def redeem(sandbox: Sandbox, given: Obj, customer: Obj, **owner: str) -> Obj:
    """A stored discount for a `discounts[]` entry; counts the redemption. `owner`: subscription=… or invoice=…."""
    if given.get("discount"):
        return sandbox.find("discount", given["discount"], "discounts[discount]")
    coupon, promotion = coupon_for(sandbox, given, customer)
    now = sandbox.now_of(customer)
    discount = sandbox.new("discount", customer=customer["id"], start=now)
    discount |= owner
    discount["source"]["coupon"] = coupon["id"]
    if coupon["duration"] == "repeating":
        discount["end"] = add_months(now, coupon["duration_in_months"])
    if promotion is not None:
        discount["promotion_code"] = promotion["id"]
        promotion["times_redeemed"] += 1
        if promotion["max_redemptions"] and promotion["times_redeemed"] >= promotion["max_redemptions"]:
            promotion["active"] = False
        sandbox.save(promotion)
    coupon["times_redeemed"] += 1
    if coupon["max_redemptions"] and coupon["times_redeemed"] >= coupon["max_redemptions"]:
        coupon["valid"] = False
    sandbox.save(coupon)
    return sandbox.save(discount)


def coupon_of(sandbox: Sandbox, discount_id: str) -> Obj | None:
    """The coupon behind a discount, even one deleted since: running discounts outlive it."""
    discount = sandbox.store.get("discount", discount_id)
    return sandbox.store.get("coupon", discount["source"]["coupon"]) if discount else None


def running(sandbox: Sandbox, discount_ids: list[str], now: int) -> list[str]:
    """Those discounts that still apply at `now`."""
    found = (sandbox.store.get("discount", ident) for ident in discount_ids)
    return [d["id"] for d in found if d is not None and (d["end"] is None or d["end"] > now)]


def after_invoice(sandbox: Sandbox, discount_ids: list[str]) -> list[str]:
    """What remains on a subscription once an invoice has used its discounts: `once` coupons are spent."""
    return [i for i in discount_ids if (coupon := coupon_of(sandbox, i)) is not None and coupon["duration"] != "once"]


def forget(sandbox: Sandbox, discount_id: str) -> None:
    sandbox.store.remove("discount", discount_id)
