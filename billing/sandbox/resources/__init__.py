"""The resources. Importing this package registers every call and every scheduled action."""

from billing.sandbox.resources import (
    catalogue,
    checkout,
    connect,
    customers,
    disputes,
    events,
    intents,
    invoice_items,
    invoices,
    money,
    payment_methods,
    portal,
    refunds,
    subscription_changes,
    subscriptions,
    test_clocks,
)

__all__ = [
    "catalogue",
    "checkout",
    "connect",
    "customers",
    "disputes",
    "events",
    "intents",
    "invoice_items",
    "invoices",
    "money",
    "payment_methods",
    "portal",
    "refunds",
    "subscription_changes",
    "subscriptions",
    "test_clocks",
]
