"""Makers of what the pages show, as the mirrors of other services would stand."""

from datetime import timedelta

from accounts.models import Tenant
from billing.models import Invoice, InvoiceLine, UsageEvent
from millrace.kernel import clock
from millrace.kernel.ids import uuid7
from millrace.kernel.tenancy import platform_scope
from tests.billing.factories import make_subscription


def make_invoice(tenant: Tenant, *, status: str = "paid") -> tuple[Invoice, InvoiceLine]:
    """An invoice with one line of usage and the one event behind it: 412,870 ms, CNY 165.15 and 6 % tax."""
    subscription = make_subscription(tenant)
    end = clock.now()
    period = {"period_start": end - timedelta(days=30), "period_end": end}
    with platform_scope(reason="test data"):
        invoice = Invoice.objects.create(
            tenant=tenant, billing_account=subscription.billing_account, subscription=subscription,
            stripe_id=f"in_{uuid7().hex}", number="MR-0001", status="draft", currency="CNY", subtotal=16_515, tax=991,
            total=17_506, amount_paid=17_506, paid_at=end, **period,
        )  # fmt: skip
        line = InvoiceLine.objects.create(
            tenant=tenant, invoice=invoice, kind="usage", stream="usage", meter="gpu_ms:h100", quantity=412_870,
            amount=16_515, currency="CNY", description="GPU time, h100", detail={"exact": "16514.8"}, **period,
        )  # fmt: skip
        UsageEvent.objects.create(
            tenant=tenant, meter="gpu_ms:h100", quantity=412_870, occurred_at=end, key=uuid7().hex, job_id=uuid7(),
            invoice_line=line,
        )  # fmt: skip
        Invoice.objects.filter(pk=invoice.pk).update(status=status)
        invoice.refresh_from_db()
    return invoice, line
