"""This room's reads, tenant first."""

from billing.selectors.plans import has_subscribed, live_subscription, plan_price, plans_for_sale
from billing.selectors.spending import (
    Standing,
    billing_of,
    currency_of,
    entitlements,
    open_cost,
    open_quantities,
    quote,
    quote_on,
    standing,
    unit_price,
)
from billing.selectors.usage import meters_of, usage_by

__all__ = [
    "Standing",
    "billing_of",
    "currency_of",
    "entitlements",
    "has_subscribed",
    "live_subscription",
    "meters_of",
    "open_cost",
    "open_quantities",
    "plan_price",
    "plans_for_sale",
    "quote",
    "quote_on",
    "standing",
    "unit_price",
    "usage_by",
]
