"""What this room listens to."""

from decimal import Decimal
from uuid import UUID

from billing.services.accounts import billing_account_ensure
from millrace.kernel.audit import Actor
from millrace.kernel.outbox import Event, subscribe


@subscribe("tenant.created", consumer="billing.account")
def on_tenant_created(event: Event) -> None:
    """A customer gets a payer: itself, or the reseller that brought it."""
    if event.payload.get("kind") != "customer" or event.tenant_id is None:
        return
    reseller = event.payload.get("reseller_tenant_id")
    billing_account_ensure(
        tenant_id=event.tenant_id,
        actor=Actor.system("billing"),
        currency=event.payload.get("currency") or "",
        email=event.payload.get("email") or "",
        reseller_tenant_id=UUID(reseller) if reseller else None,
        discount_percent=Decimal(str(event.payload.get("reseller_discount_percent") or 0)),
    )
