"""This room's tables."""

from billing.models.accounts import BillingAccount, Reservation, TenantBilling
from billing.models.catalogue import Interval, Plan, PriceVersion
from billing.models.inbox import StripeEvent, StripeEventState
from billing.models.invoices import (
    WITHOUT_EFFECT,
    Dispute,
    Invoice,
    InvoiceLine,
    InvoiceStatus,
    LineKind,
    Refund,
    ReversalLine,
)
from billing.models.subscriptions import LIVE, Subscription, SubscriptionPhase, SubscriptionStatus
from billing.models.usage import LARGEST_QUANTITY, OWN_PREFIX, PLATFORM_METERS, Meter, UsageEvent

__all__ = [
    "LARGEST_QUANTITY",
    "LIVE",
    "OWN_PREFIX",
    "PLATFORM_METERS",
    "WITHOUT_EFFECT",
    "BillingAccount",
    "Dispute",
    "Interval",
    "Invoice",
    "InvoiceLine",
    "InvoiceStatus",
    "LineKind",
    "Meter",
    "Plan",
    "PriceVersion",
    "Refund",
    "Reservation",
    "ReversalLine",
    "StripeEvent",
    "StripeEventState",
    "Subscription",
    "SubscriptionPhase",
    "SubscriptionStatus",
    "TenantBilling",
    "UsageEvent",
]
