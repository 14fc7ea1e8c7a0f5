"""Our catalogue at Stripe: a product for each plan, a price for each version, made when first sold."""

from decimal import Decimal
from fractions import Fraction
from typing import Any

import stripe

from billing import pricing
from billing.models import BillingAccount, Plan, PriceVersion
from billing.stripe.client import client, is_missing, once
from millrace.kernel.money import step


def product_ensure(plan: Plan) -> str:
    """The plan's product at Stripe, by an id of our own."""
    if plan.stripe_product_id:
        return plan.stripe_product_id
    ident = f"millrace_{plan.code}"
    try:
        found = client().v1.products.retrieve(ident)
    except stripe.InvalidRequestError as error:
        if not is_missing(error):
            raise
        params: Any = {"id": ident, "name": plan.name, "metadata": {"plan_id": str(plan.pk), "code": plan.code}}
        found = client().v1.products.create(params, once(f"product:{plan.pk}"))
    Plan.objects.filter(pk=plan.pk).update(stripe_product_id=found.id)
    plan.stripe_product_id = found.id
    return found.id


def item_for(price: PriceVersion, account: BillingAccount) -> dict:
    """A line of a subscription or of Checkout for this payer: the published price, or a reseller's own fee.

    A reseller's fee is the list fee less its rebate, rounded once, as a price of its own: a percent coupon would round
    at Stripe's discretion and fall on usage too.
    """
    fee = fee_of(price, account.discount_percent)
    return {"price": price_ensure(price) if fee == price.recurring_amount else _wholesale(price, fee), "quantity": 1}


def _wholesale(price: PriceVersion, fee: int) -> str:
    name = f"{price.public_id}:{fee}"
    known = client().v1.prices.list({"lookup_keys": [name], "limit": 1}).data
    if known:
        return known[0].id
    made = client().v1.prices.create(_params(price, fee) | {"lookup_key": name}, once(f"price:{name}"))  # type: ignore[arg-type]
    return made.id


def fee_of(price: PriceVersion, discount_percent: Decimal) -> int:
    """The fixed fee of an interval after a rebate, in minor units."""
    return pricing.half_up(price.recurring_amount * (1 - Fraction(discount_percent) / 100), step(price.currency))


def price_ensure(price: PriceVersion) -> str:
    """The price at Stripe of a published version."""
    if price.stripe_price_id:
        return price.stripe_price_id
    made = client().v1.prices.create(_params(price, price.recurring_amount), once(f"price:{price.pk}"))  # type: ignore[arg-type]
    PriceVersion.objects.filter(pk=price.pk).update(stripe_price_id=made.id)
    price.stripe_price_id = made.id
    return made.id


def _params(price: PriceVersion, fee: int) -> dict[str, Any]:
    return {
        "product": product_ensure(price.plan),
        "currency": price.currency.lower(),
        "unit_amount": fee,
        "recurring": {"interval": price.interval},
        "nickname": f"{price.plan.code} v{price.version}",
        "metadata": {"price_version_id": str(price.pk)},
    }
