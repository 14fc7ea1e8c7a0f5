"""Refunds and disputes: found by their payment, mirrored, and posted once their money has moved."""

from typing import Any

import stripe
from django.db import transaction

from billing.models import WITHOUT_EFFECT, Dispute, Invoice, Refund, StripeEvent
from billing.services.settlement import BALANCE, OUTSIDE, dispute_post, refund_post, refund_return
from billing.stripe.client import client, once, plain
from billing.stripe.handlers import Ignored
from billing.stripe.invoice_mirror import invoice_sync
from billing.stripe.mirrors import certain, ident, mirror_lock, uuid_in
from millrace.kernel import clock


class NotYetPaid(RuntimeError):
    """The invoice that the money goes back on is not known as paid yet: the event is tried again later."""


def on_refund(event: StripeEvent) -> None:
    """A refund was made or changed."""
    refund_sync(event.object_id)


def on_charge_refunded(event: StripeEvent) -> None:
    """A charge was refunded: each refund of it is looked at, since the event names none."""
    for found in client().v1.refunds.list({"charge": event.object_id, "limit": 100}).auto_paging_iter():
        refund_sync(found.id)


def on_dispute(event: StripeEvent) -> None:
    """A dispute was opened, changed or decided."""
    dispute_sync(event.object_id)


def refund_sync(stripe_id: str) -> Refund:
    """Mirror a refund; post it when it has succeeded, and reverse that when the bank sent it back later."""
    with transaction.atomic():
        mirror_lock(stripe_id)
        found = plain(client().v1.refunds.retrieve(stripe_id))
        asked_for = uuid_in(found.get("metadata"), "refund_id")
        refund = Refund.objects.filter(stripe_id=stripe_id).first()
        if refund is None and asked_for is not None:
            refund = Refund.objects.filter(pk=asked_for).first()
        if refund is None:
            refund = Refund(stripe_id=stripe_id, amount=found["amount"], currency=found["currency"].upper())
            refund.invoice = _invoice_of(found)
            refund.tenant_id = refund.invoice.tenant_id
            refund.reason = found.get("reason") or ""
            refund.requested_by = "stripe"
        refund.stripe_id, refund.status = stripe_id, found["status"] or "pending"
        refund.save()
        if refund.status == "succeeded":
            refund.invoice = _settled(refund.invoice)
            refund_post(refund, certain(found["created"]))
        elif refund.status in WITHOUT_EFFECT:
            refund_return(refund, clock.now())
    return refund


def on_credit_note(event: StripeEvent) -> None:
    """A credit note was made or taken back."""
    credit_note_sync(event.object_id)


def credit_note_sync(stripe_id: str) -> None:
    """Mirror a credit note as what it gives back other than by a refund, which is told of itself: by lowering what is
    owed, onto the customer's balance, or outside of Stripe. It is posted once the invoice is."""
    with transaction.atomic():
        mirror_lock(stripe_id)
        found = plain(client().v1.credit_notes.retrieve(stripe_id))
        outside = found["out_of_band_amount"] or 0
        amount = found["total"] - sum(entry["amount_refunded"] for entry in found["refunds"])
        if not amount:
            return
        note = Refund.objects.filter(stripe_id=stripe_id).first()
        if note is None:
            invoice_id = ident(found["invoice"])
            invoice = Invoice.objects.filter(stripe_id=invoice_id).first() or invoice_sync(invoice_id).invoice
            note = Refund(
                stripe_id=stripe_id,
                invoice=invoice,
                tenant_id=invoice.tenant_id,
                amount=amount,
                currency=found["currency"].upper(),
                reason=(found["memo"] or found["reason"] or "credit note")[:200],
                requested_by="stripe",
            )
        mirror_lock(note.invoice.stripe_id)  # it is being paid, or will see the note that waits
        settled_at = Invoice.objects.values_list("settled_at", flat=True).get(pk=note.invoice_id)
        note.status = "canceled" if found["status"] == "void" else "succeeded" if settled_at else "pending"
        note.save()
        if note.status == "succeeded" and settled_at:
            note.invoice = _settled(note.invoice)
            to = {BALANCE: amount - outside, OUTSIDE: outside}
            refund_post(note, max(certain(found["created"]), settled_at), to=to)


def credit_notes_post(invoice: Invoice) -> None:
    """Post the credit notes that waited for their invoice to be paid. Safe to repeat."""
    for note in invoice.refunds.filter(status="pending", stripe_id__startswith="cn_"):
        credit_note_sync(str(note.stripe_id))


def refund_send(refund: Refund) -> Refund:
    """Ask Stripe for the refund; the same one however often it is asked for. One that Stripe refuses holds nothing."""
    if refund.stripe_id:  # its news came before the answer did; Stripe forgets the key of a request after a day
        return refund_sync(refund.stripe_id)
    params: dict[str, Any] = {
        "payment_intent": refund.invoice.payment_intent_id,
        "amount": refund.amount,
        "metadata": {"refund_id": str(refund.pk), "tenant_id": str(refund.tenant_id)},
    }
    try:
        made = client().v1.refunds.create(params, once(f"refund:{refund.pk}"))  # type: ignore[arg-type]
    except stripe.InvalidRequestError:
        Refund.objects.filter(pk=refund.pk, stripe_id__isnull=True).update(status="failed")
        raise
    return refund_sync(made.id)


def dispute_sync(stripe_id: str) -> Dispute:
    """Mirror a dispute; post what its state says of the money."""
    with transaction.atomic():
        mirror_lock(stripe_id)
        found = plain(client().v1.disputes.retrieve(stripe_id))
        dispute = Dispute.objects.filter(stripe_id=stripe_id).first()
        if dispute is None:
            invoice = _invoice_of(found)
            dispute = Dispute(
                stripe_id=stripe_id,
                invoice=invoice,
                tenant_id=invoice.tenant_id,
                amount=found["amount"],
                currency=found["currency"].upper(),
            )
        before = dispute.status
        dispute.status, dispute.reason = found["status"], found["reason"] or ""
        dispute.save()
        dispute.invoice = _settled(dispute.invoice)
        dispute_post(dispute, certain(found["created"]) if not before else clock.now())
    return dispute


def _settled(invoice: Invoice) -> Invoice:
    """The invoice, posted as paid: money cannot go back in our books before it came."""
    if invoice.settled_at is None:
        invoice = invoice_sync(invoice.stripe_id).invoice
    if invoice.settled_at is None:
        raise NotYetPaid(f"{invoice.stripe_id} is {invoice.status}")
    # One reversal of an invoice at a time: each is split over what the others left.
    return Invoice.objects.select_for_update(of=("self",)).get(pk=invoice.pk)


def _invoice_of(found: dict[str, Any]) -> Invoice:
    intent = ident(found.get("payment_intent"))
    if not intent:
        raise Ignored("it concerns no payment of an invoice")
    known = Invoice.objects.filter(payment_intent_id=intent).first()
    if known is not None:
        return known
    params: dict[str, Any] = {"payment": {"type": "payment_intent", "payment_intent": intent}, "limit": 1}
    payments = client().v1.invoice_payments.list(params)  # type: ignore[arg-type]
    if not payments.data:
        raise Ignored("its payment is of no invoice")
    return invoice_sync(ident(plain(payments.data[0])["invoice"])).invoice
