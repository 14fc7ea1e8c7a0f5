"""Makers of what billing's tests need."""

from datetime import datetime, timedelta
from typing import Any

from accounts.models import Tenant
from billing.models import (
    BillingAccount,
    Invoice,
    InvoiceLine,
    PriceVersion,
    Subscription,
    SubscriptionPhase,
    TenantBilling,
)
from billing.services.accounts import billing_account_ensure
from billing.services.catalogue import catalogue_seed
from millrace.kernel import clock
from millrace.kernel.ids import uuid7
from millrace.kernel.tenancy import platform_scope
from tests.factories import SYSTEM


def make_billing(tenant: Tenant, **kwargs: Any) -> TenantBilling:
    """The tenant's billing, as the news of its creation makes it."""
    with platform_scope(reason="test data"):
        return billing_account_ensure(tenant_id=tenant.pk, actor=SYSTEM, **kwargs)


def make_subscription(
    tenant: Tenant, plan: str = "starter", *, start: datetime | None = None, days: int = 30, **fields: Any
) -> Subscription:
    """A live subscription as its mirror would stand, without Stripe."""
    price: PriceVersion = catalogue_seed()[plan]
    account: BillingAccount = make_billing(tenant).billing_account
    start = start or clock.now() - timedelta(days=1)
    with platform_scope(reason="test data"):
        subscription = Subscription.objects.create(
            tenant=tenant,
            billing_account=account,
            price_version=price,
            started_at=start,
            current_period_start=start,
            current_period_end=start + timedelta(days=days),
            **{"status": "active", "stripe_id": f"sub_{uuid7().hex}"} | fields,
        )
        SubscriptionPhase.objects.create(tenant=tenant, subscription=subscription, price_version=price, starts_at=start)
    return subscription


def make_invoice(tenant: Tenant, **fields: Any) -> Invoice:
    """A paid invoice of 10.00 with one line, as its mirror would stand, without Stripe."""
    account = make_billing(tenant).billing_account
    now = clock.now()
    values = {
        "status": "draft", "currency": account.currency, "period_start": now, "period_end": now, "subtotal": 1000,
        "total": 1000, "amount_paid": 1000, "paid_at": now, "number": "T-0001", "stripe_id": f"in_{uuid7().hex}",
    }  # fmt: skip
    with platform_scope(reason="test data"):
        invoice = Invoice.objects.create(tenant=tenant, billing_account=account, **values | fields)
        InvoiceLine.objects.create(
            tenant=tenant, invoice=invoice, kind="usage", stream="usage", meter="gpu_ms", quantity=2_000_000,
            amount=1000, currency=account.currency, description="GPU time", period_start=now, period_end=now,
        )  # fmt: skip
        Invoice.objects.filter(pk=invoice.pk).update(status="paid")
    return invoice
