"""What a payment, a refund and a lost dispute are in the ledger, and what the other rooms are told of them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Sum

from billing.models import Dispute, Invoice, InvoiceLine, Refund, ReversalLine
from millrace.kernel import ledger, outbox
from millrace.kernel.ledger import Line
from millrace.kernel.models import LedgerEntry
from millrace.kernel.money import allocate

CLEARING, TAX, BALANCE, HELD = "stripe:clearing", "tax:payable", "credits:customer_balance", "disputes:held"
OUTSIDE = "credits:out_of_band"


class InvoiceUnbalanced(RuntimeError):
    """The mirrored lines do not make the mirrored total: nothing is posted before they do (R3)."""


def invoice_settle(invoice: Invoice) -> None:
    """Post a paid invoice by line and stream, and announce `invoice.paid`; once. Call it in the mirror's transaction.

    What the customer's balance at Stripe paid (or a negative total gave to it) stands on its own account.
    """
    lines = list(invoice.lines.order_by("id"))
    if sum(line.net for line in lines) + invoice.tax != invoice.total:
        raise InvoiceUnbalanced(f"{invoice.stripe_id}: the lines do not make {invoice.total}")
    at = invoice.paid_at or invoice.created_at
    entries = [_entry(invoice, f"revenue:{line.stream}", -line.net, line) for line in lines]
    entries.append(_entry(invoice, TAX, -invoice.tax))
    entries.append(_entry(invoice, CLEARING, invoice.amount_paid))
    entries.append(_entry(invoice, BALANCE, invoice.total - invoice.amount_paid))
    if any(entry.amount for entry in entries):
        ledger.post(key=f"invoice:{invoice.stripe_id}", kind="invoice.paid", at=at, lines=entries, memo=invoice.number)
    Invoice.objects.filter(pk=invoice.pk).update(settled_at=at)
    invoice.settled_at = at
    payload = {
        "invoice_id": str(invoice.pk),
        "number": invoice.number,
        "tenant_id": str(invoice.tenant_id),
        "billing_account_id": str(invoice.billing_account_id),
        "total": invoice.total,
        "tax": invoice.tax,
        "currency": invoice.currency,
        "paid_at": at.isoformat(),
        "lines": [
            {
                "line_id": str(line.pk),
                "tenant_id": str(line.tenant_id),
                "kind": line.kind,
                "stream": line.stream,
                "meter": line.meter,
                "amount": line.net,
                "commissionable": line.commissionable,
            }
            for line in lines
        ],
    }
    outbox.announce("invoice.paid", tenant_id=invoice.tenant_id, payload=payload)


def refund_post(refund: Refund, at: datetime, *, to: Mapping[str, int] | None = None) -> None:
    """Post a refund that succeeded, split over the invoice's lines, and announce `invoice.refunded`; once.

    `to`: the accounts that it came from, where it is a credit note and no money moved at Stripe.
    """
    if refund.posted_at is not None:
        return
    parts = _split(refund.invoice, refund.amount)
    _write(refund.invoice, parts, refund=refund)
    entries = _reversal_entries(refund.invoice, parts, "refunds")
    entries += [_entry(refund.invoice, account, -part) for account, part in (to or {CLEARING: refund.amount}).items()]
    ledger.post(key=f"refund:{refund.stripe_id}", kind="invoice.refunded", at=at, lines=entries)
    Refund.objects.filter(pk=refund.pk).update(posted_at=at)
    _announce("invoice.refunded", refund.invoice, refund, parts, at)


def refund_return(refund: Refund, at: datetime) -> None:
    """Reverse a posted refund that the bank sent back, line by line, and announce `invoice.refund_failed`; once."""
    if refund.posted_at is None or refund.returned_at is not None:
        return
    given = _standing(refund)
    parts = [(line, -amount) for line, amount in given]
    _write(refund.invoice, parts, refund=refund)
    entries = _reversal_entries(refund.invoice, parts, "refunds")
    entries.append(_entry(refund.invoice, CLEARING, refund.amount))
    ledger.post(key=f"refund:{refund.stripe_id}:failed", kind="invoice.refund_failed", at=at, lines=entries)
    Refund.objects.filter(pk=refund.pk).update(returned_at=at)
    _announce("invoice.refund_failed", refund.invoice, refund, given, at)


def dispute_post(dispute: Dispute, at: datetime) -> None:
    """Post what the dispute's state says of the money: held back, ours, or lost (and announced as such). Only the
    difference to what stands already is posted, so it is safe to repeat, and an appeal may turn a verdict round."""
    if not dispute.takes_money or dispute.status.startswith("appeal"):
        return  # an appeal moves no money before it is decided
    invoice, is_lost = dispute.invoice, dispute.status == "lost"
    moves = LedgerEntry.objects.filter(
        invoice_id=invoice.pk, transaction__key__startswith=f"dispute:{dispute.stripe_id}:"
    )
    holds = moves.filter(account=HELD).aggregate(total=Sum("amount"))["total"] or 0
    to_hold = (0 if is_lost or dispute.status == "won" else dispute.amount) - holds
    taken = _standing(dispute)
    parts = _split(invoice, dispute.amount) if is_lost and not taken else []
    if taken and not is_lost:
        parts = [(line, -amount) for line, amount in taken]
    entries = [*_reversal_entries(invoice, parts, "disputes"), _entry(invoice, HELD, to_hold)]
    cash = sum(entry.amount for entry in entries)
    entries.append(_entry(invoice, CLEARING, -cash))
    if not any(entry.amount for entry in entries):
        return
    _write(invoice, parts, dispute=dispute)
    number = moves.values("transaction").distinct().count()
    kind = "invoice.dispute_lost" if is_lost else "dispute.won" if dispute.status == "won" else "dispute.held"
    ledger.post(key=f"dispute:{dispute.stripe_id}:{number}", kind=kind, at=at, lines=entries)
    if parts:
        Dispute.objects.filter(pk=dispute.pk).update(posted_at=at)
        topic = "invoice.dispute_lost" if is_lost else "invoice.dispute_won"
        _announce(topic, invoice, dispute, parts if is_lost else taken, at)


Parts = Sequence[tuple[InvoiceLine | None, int]]


def _split(invoice: Invoice, amount: int) -> Parts:
    """An amount over the invoice's lines and its tax, in proportion to what is left of each.

    So no part ever goes back more than it came to, and refunds that add up to the whole add up to it line by line.
    """
    lines = list(invoice.lines.order_by("id"))
    charged = [line for line in lines if line.net > 0]
    paid = [line.net for line in charged]
    # Lines of credit lower what the others were really paid.
    lowered = allocate(-sum(line.net for line in lines if line.net < 0), paid) if charged else []
    before = dict(
        ReversalLine.objects.filter(invoice=invoice).values_list("invoice_line").annotate(total=Sum("amount"))
    )
    left = [max(0, net - less - before.get(line.pk, 0)) for line, net, less in zip(charged, paid, lowered, strict=True)]
    targets: list[InvoiceLine | None] = [*charged, None]
    shares = allocate(amount, [*left, max(0, invoice.tax - before.get(None, 0))])
    return [(line, share) for line, share in zip(targets, shares, strict=True) if share]


def _standing(source: Refund | Dispute) -> Parts:
    """What stands of its parts: what went back by them, less what came again."""
    lines: dict[UUID | None, InvoiceLine | None] = {}
    sums: Counter[UUID | None] = Counter()
    for part in source.lines.select_related("invoice_line").order_by("id"):
        lines[part.invoice_line_id] = part.invoice_line
        sums[part.invoice_line_id] += part.amount
    return [(lines[key], amount) for key, amount in sums.items() if amount]


def _write(invoice: Invoice, parts: Parts, **source: Any) -> None:
    ReversalLine.objects.bulk_create(
        ReversalLine(tenant_id=invoice.tenant_id, invoice=invoice, invoice_line=line, amount=share, **source)
        for line, share in parts
    )


def _reversal_entries(invoice: Invoice, parts: Parts, account: str) -> list[Line]:
    return [_entry(invoice, f"{account}:{line.stream}" if line else TAX, share, line) for line, share in parts]


def _announce(topic: str, invoice: Invoice, source: Refund | Dispute, parts: Parts, at: datetime) -> None:
    payload = {
        "invoice_id": str(invoice.pk),
        "tenant_id": str(invoice.tenant_id),
        "refund_id" if isinstance(source, Refund) else "dispute_id": str(source.pk),
        "reversal_id": str(source.pk),
        "amount": source.amount,
        "currency": invoice.currency,
        "at": at.isoformat(),
        "lines": [{"line_id": str(line.pk), "amount": share} for line, share in parts if line],
        "tax": sum(share for line, share in parts if line is None),
    }
    outbox.announce(topic, tenant_id=invoice.tenant_id, payload=payload)


def _entry(invoice: Invoice, account: str, amount: int, line: InvoiceLine | None = None) -> Line:
    return Line(
        account,
        amount,
        invoice.currency,
        tenant_id=invoice.tenant_id,
        invoice_id=invoice.pk,
        line_id=line.pk if line else None,
    )
