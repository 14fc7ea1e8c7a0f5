"""Invoices, their lines, and what a line is made of; tenant first."""

from uuid import UUID

from django.db.models import QuerySet

from billing.models import Invoice, InvoiceLine, InvoiceStatus, UsageEvent
from millrace.kernel import ids
from millrace.kernel.errors import NotFound


def invoices(tenant_id: UUID) -> QuerySet[Invoice]:
    """The invoices that a tenant pays itself, drafts that were thrown away left out. What its reseller pays for it is
    the reseller's to see."""
    own = Invoice.objects.filter(tenant_id=tenant_id, billing_account__owner_tenant_id=tenant_id)
    found = own.exclude(status=InvoiceStatus.DELETED)
    return found.select_related("billing_account", "subscription")


def invoice(tenant_id: UUID, public_id: str) -> Invoice:
    """One of them; NotFound for a stranger's."""
    found = invoices(tenant_id).filter(pk=ids.parse(Invoice.PREFIX, public_id)).first()
    if found is None:
        raise NotFound(f"There is no invoice {public_id[:64]!r}.")
    return found


def invoice_lines(tenant_id: UUID, invoice_id: UUID) -> QuerySet[InvoiceLine]:
    """An invoice's lines in the order in which they were made."""
    found = InvoiceLine.objects.filter(tenant_id=tenant_id, invoice_id=invoice_id)
    return found.select_related("invoice", "price_version__plan").order_by("id")


def invoice_line(tenant_id: UUID, invoice_id: UUID, public_id: str) -> InvoiceLine:
    """One of them; NotFound otherwise."""
    found = invoice_lines(tenant_id, invoice_id).filter(pk=ids.parse(InvoiceLine.PREFIX, public_id)).first()
    if found is None:
        raise NotFound(f"There is no line {public_id[:64]!r}.")
    return found


def usage_of_line(tenant_id: UUID, line_id: UUID) -> QuerySet[UsageEvent]:
    """The usage events that a line bills."""
    return UsageEvent.objects.filter(tenant_id=tenant_id, invoice_line_id=line_id)


def invoices_paid_by(payer_tenant_id: UUID) -> QuerySet[Invoice]:
    """All invoices that an organisation pays, its customers' too: a reseller's view. Runs in the platform's scope."""
    found = Invoice.objects.filter(billing_account__owner_tenant_id=payer_tenant_id)
    return found.exclude(status=InvoiceStatus.DELETED).select_related("tenant", "billing_account", "subscription")
