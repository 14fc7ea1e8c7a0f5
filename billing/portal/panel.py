"""What the overview shows of cost."""

from django.http import HttpRequest

from billing.errors import BillingMissing
from billing.selectors import entitlements
from millrace.portal import panels


def install() -> None:
    """Add the panel to the overview."""
    panels.add(panels.Panel("billing.cost", "billing/panel.html", "usage.read", _cost, order=10))


def _cost(request: HttpRequest) -> dict | None:
    try:
        found = entitlements(request.caller.tenant_id)  # type: ignore[attr-defined]
    except BillingMissing:
        return None  # a partner's own organisation pays for nothing
    return {"now": found}
