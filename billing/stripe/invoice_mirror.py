"""The mirror of invoices and of their lines at Stripe."""

import logging
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import transaction

from billing.models import (
    BillingAccount,
    Invoice,
    InvoiceLine,
    InvoiceStatus,
    LineKind,
    Subscription,
    TenantBilling,
    UsageEvent,
)
from billing.services.settlement import invoice_settle
from billing.stripe.client import client, plain
from billing.stripe.handlers import Ignored
from billing.stripe.mirrors import certain, ident, mirror_lock, moment, uuid_in
from billing.stripe.subscriptions import subscription_sync
from millrace.kernel import outbox

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Fetched:
    """Our mirror, and what Stripe said when it was made."""

    invoice: Invoice
    found: dict[str, Any]
    lines: list[dict[str, Any]]


def invoice_sync(stripe_id: str) -> Fetched:
    """Bring our mirror up to Stripe's present state; a payment that is new is posted and announced with it."""
    with transaction.atomic():
        mirror_lock(stripe_id)
        found = plain(client().v1.invoices.retrieve(stripe_id, {"expand": ["payments"]}))
        lines = _all_lines(found)
        invoice = _upsert(found, lines)
        if invoice.status == InvoiceStatus.PAID and invoice.settled_at is None:
            invoice_settle(invoice)
    return Fetched(invoice, found, lines)


def subscription_id_of(found: dict[str, Any]) -> str:
    """The subscription that an invoice belongs to: by its parent, or one that ended and of which this is the last."""
    details = (found.get("parent") or {}).get("subscription_details") or {}
    return ident(details.get("subscription")) or (found.get("metadata") or {}).get("final_for", "")


def _all_lines(found: dict[str, Any]) -> list[dict[str, Any]]:
    if not found["lines"]["has_more"]:
        return found["lines"]["data"]
    pages = client().v1.invoices.line_items.list(found["id"], {"limit": 100})
    return [plain(line) for line in pages.auto_paging_iter()]


def _upsert(found: dict[str, Any], lines: list[dict[str, Any]]) -> Invoice:
    known = Invoice.objects.filter(stripe_id=found["id"]).first()
    tenant_id, account, subscription = _belongs_to(found)
    transitions = found["status_transitions"]
    attempts_before = known.attempt_count if known else 0
    values = {
        "tenant_id": tenant_id,
        "billing_account": account,
        "subscription": subscription,
        "number": found["number"] or "",
        "billing_reason": found["billing_reason"] or "",
        "currency": found["currency"].upper(),
        "subtotal": found["subtotal"],
        "discount": sum(entry["amount"] for entry in found["total_discount_amounts"] or []),
        "tax": sum(entry["amount"] for entry in found["total_taxes"] or []),
        "total": found["total"],
        "amount_due": found["amount_due"],
        "amount_paid": found["amount_paid"],
        "attempt_count": found["attempt_count"],
        "hosted_url": found.get("hosted_invoice_url") or "",
        "payment_intent_id": _payment_intent(found) or (known.payment_intent_id if known else ""),
        "finalized_at": moment(transitions["finalized_at"]),
        "paid_at": moment(transitions["paid_at"]),
    }
    period = _period(found, subscription)
    if known is None or known.rated_at is None:
        values |= {"period_start": period[0], "period_end": period[1]}
    if known is None:
        known = Invoice(stripe_id=found["id"], status=InvoiceStatus.DRAFT, **values)
        known.save(force_insert=True)
    _mirror_lines(known, found, lines)
    for name, value in values.items():
        setattr(known, name, value)
    known.status = found["status"]
    if known.status != InvoiceStatus.DRAFT:
        known.hold_reason = ""  # whoever finalised it
    known.save()
    if known.status == InvoiceStatus.OPEN and known.attempt_count > attempts_before:
        payload = {"invoice_id": str(known.pk), "tenant_id": str(tenant_id), "attempt": known.attempt_count}
        outbox.announce("invoice.payment_failed", tenant_id=tenant_id, payload=payload)
    return known


def _belongs_to(found: dict[str, Any]) -> tuple[UUID, BillingAccount, Subscription | None]:
    stripe_id = subscription_id_of(found)
    if stripe_id:
        subscription = Subscription.objects.select_related("billing_account").filter(stripe_id=stripe_id).first()
        subscription = subscription or subscription_sync(stripe_id)
        return subscription.tenant_id, subscription.billing_account, subscription
    tenant_id = uuid_in(found["metadata"], "tenant_id")
    if tenant_id is None:
        raise Ignored("the invoice names no tenant of ours")
    billing = TenantBilling.objects.select_related("billing_account").filter(tenant_id=tenant_id).first()
    if billing is None:
        raise Ignored("the invoice names no tenant of ours")
    return tenant_id, billing.billing_account, None


def _period(found: dict[str, Any], subscription: Subscription | None) -> tuple[Any, Any]:
    """What the invoice's usage is of: the period that ended. A last invoice carries it in its metadata."""
    metadata = found.get("metadata") or {}
    if metadata.get("final_for") and subscription is not None:
        return certain(int(metadata["period_start"])), certain(int(metadata["period_end"]))
    return certain(found["period_start"]), certain(found["period_end"])


def _payment_intent(found: dict[str, Any]) -> str:
    payments = (found.get("payments") or {}).get("data") or []
    paid = [entry for entry in payments if entry["status"] == "paid"] or payments
    return ident(paid[0]["payment"].get("payment_intent")) if paid else ""


def _mirror_lines(invoice: Invoice, found: dict[str, Any], lines: list[dict[str, Any]]) -> None:
    """Bring lines up to date while ours is a draft; of a finalised invoice, only what we never saw is added."""
    editable = invoice.status == InvoiceStatus.DRAFT
    known = {line.stripe_line_id: line for line in invoice.lines.all() if line.stripe_line_id}
    ours = {line.pk: line for line in invoice.lines.filter(kind__in=("usage", "flat", "true_up"))}
    for entry in lines:
        line = ours.get(uuid_in(entry["metadata"], "line_id")) or known.get(entry["id"])  # type: ignore[arg-type]
        discount = sum(part["amount"] for part in entry.get("discount_amounts") or [])
        if line is None:
            line = InvoiceLine(tenant_id=invoice.tenant_id, invoice=invoice, currency=invoice.currency)
            _describe(line, invoice, entry)
        elif not editable:
            continue
        elif line.pk not in ours:
            _describe(line, invoice, entry)
        line.discount = discount
        line.stripe_line_id = entry["id"]
        line.stripe_item_id = _item_id(entry) or line.stripe_item_id
        line.save()
    if editable and found["status"] != InvoiceStatus.DRAFT:
        _release_missing(invoice, ours, {uuid_in(entry["metadata"], "line_id") for entry in lines})
    if editable:
        gone = known.keys() - {entry["id"] for entry in lines}
        invoice.lines.filter(stripe_line_id__in=gone).exclude(pk__in=ours).delete()


def _release_missing(invoice: Invoice, ours: dict[UUID, InvoiceLine], there: set[UUID | None]) -> None:
    """Somebody finalised it before all our lines stood on it: their usage goes onto the next invoice, and if none of them
    got there, so does the whole period, minimum and all."""
    missing = [line.pk for line in ours.values() if line.amount and line.pk not in there]
    if not missing:
        return
    logger.error("%s was finalised without %d of our lines; they wait for the next", invoice.stripe_id, len(missing))
    if not ours.keys() & there:
        invoice.rated_at = None
        missing = list(ours)
    UsageEvent.objects.filter(invoice_line__in=missing).update(invoice_line=None)
    invoice.lines.filter(pk__in=missing).delete()


def _describe(line: InvoiceLine, invoice: Invoice, entry: dict[str, Any]) -> None:
    parent = entry.get("parent") or {}
    details = parent.get("subscription_item_details") or parent.get("invoice_item_details") or {}
    line.kind = LineKind.OTHER
    if details.get("proration"):
        line.kind = LineKind.PRORATION
    elif parent.get("type") == "subscription_item_details":
        line.kind = LineKind.SUBSCRIPTION
    line.stream = (entry["metadata"] or {}).get("stream") or "subscription"
    line.quantity = entry["quantity"] or 0
    line.amount = entry["amount"]
    line.description = (entry["description"] or line.kind)[:250]
    line.period_start = certain(entry["period"]["start"])
    line.period_end = certain(entry["period"]["end"])
    if invoice.subscription is not None:
        line.price_version = invoice.subscription.price_version


def _item_id(entry: dict[str, Any]) -> str | None:
    details = (entry.get("parent") or {}).get("invoice_item_details") or {}
    return ident(details.get("invoice_item")) or None
