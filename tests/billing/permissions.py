"""What each of this room's addresses asks of its caller."""

from accounts.models import Tenant
from tests.billing.factories import make_invoice
from tests.guards.permission_table import Row


def _invoice(tenant: Tenant) -> dict[str, str]:
    return {"invoice_id": make_invoice(tenant).public_id}


ROWS = [
    Row("GET", "/v1/plans", "public"),
    Row("POST", "/v1/checkout-sessions", "billing.write"),
    Row("POST", "/v1/billing-portal-sessions", "billing.write"),
    Row("GET", "/v1/subscription", "billing.read"),
    Row("PATCH", "/v1/subscription", "billing.write"),
    Row("GET", "/v1/invoices", "billing.read"),
    Row("GET", "/v1/invoices/{invoice_id}", "billing.read", objects=_invoice),
    Row("GET", "/v1/invoices/{invoice_id}/lines", "billing.read", objects=_invoice),
    Row("GET", "/v1/usage", "usage.read"),
    Row("GET", "/v1/meters", "usage.read"),
    Row("POST", "/v1/meters", "usage.write"),
    Row("POST", "/v1/usage-events", "usage.write"),
    Row("GET", "/v1/entitlements", "usage.read"),
    Row("PUT", "/v1/spend-limit", "billing.write"),
    Row("POST", "/webhooks/stripe", "signed"),
]
