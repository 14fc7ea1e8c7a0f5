"""Refunds: asked for here, carried out by Stripe, posted when it says so."""

from uuid import UUID

from django.db import transaction
from django.db.models import Q, Sum

from billing.errors import NotRefundable
from billing.models import WITHOUT_EFFECT, Invoice, InvoiceStatus, Refund
from billing.stripe.client import for_the_caller
from billing.stripe.reversals import refund_send
from millrace.kernel.audit import Actor, record
from millrace.kernel.money import Money, step
from millrace.kernel.tenancy import platform_scope

# Lowered what was owed, or went onto the customer's balance: given back, and not out of what was paid.
_CREDIT_NOTE = Q(stripe_id__startswith="cn_", stripe_id__isnull=False)


@platform_scope(reason="refunds are the platform's to give")
def refund_create(*, invoice_id: UUID, amount: int, actor: Actor, reason: str, refund_id: UUID | None = None) -> Refund:
    """Give `amount` minor units (tax included) of a paid invoice back. NotRefundable when more is asked than is left.

    The request is stored first and then sent; `refund_id` names one that was stored and maybe not sent, so that
    asking again is safe. Not within a transaction: it talks to Stripe.
    """
    refund = _request(invoice_id, amount, actor, reason, refund_id)
    with for_the_caller():
        return refund_send(refund)


def _request(invoice_id: UUID, amount: int, actor: Actor, reason: str, refund_id: UUID | None) -> Refund:
    with transaction.atomic():
        invoice = Invoice.objects.select_for_update(of=("self",)).get(pk=invoice_id)
        if refund_id is not None:
            known = Refund.objects.select_related("invoice").filter(pk=refund_id, invoice=invoice).first()
            if known is not None and known.stripe_id is None and known.status in WITHOUT_EFFECT:
                raise NotRefundable("The payment service refused this refund: ask for another.", field="refund")
            if known is not None:
                return known
        back = invoice.refunds.filter(~Q(status__in=WITHOUT_EFFECT))
        sums = back.aggregate(all=Sum("amount", default=0), cash=Sum("amount", filter=~_CREDIT_NOTE, default=0))
        left = min(invoice.amount_paid - sums["cash"], invoice.total - sums["all"])
        if invoice.status != InvoiceStatus.PAID or not invoice.payment_intent_id:
            raise NotRefundable("Only a paid invoice can be refunded.", field="invoice")
        if amount % step(invoice.currency):
            least = Money(step(invoice.currency), invoice.currency)
            raise NotRefundable(f"Amounts in {invoice.currency} are multiples of {least}.", field="amount")
        if not 1 <= amount <= left:
            raise NotRefundable(f"{Money(left, invoice.currency)} can be refunded.", field="amount")
        if any(dispute.takes_money and dispute.status != "won" for dispute in invoice.disputes.all()):
            raise NotRefundable("The payment is disputed: the bank decides.", field="invoice")
        made = Refund(
            tenant_id=invoice.tenant_id,
            invoice=invoice,
            amount=amount,
            currency=invoice.currency,
            reason=reason[:200],
            requested_by=str(actor),
        )
        if refund_id is not None:
            made.id = refund_id
        made.save(force_insert=True)
        data = {"amount": amount, "reason": reason}
        record(actor=actor, action="refund.create", target=made, tenant_id=invoice.tenant_id, data=data)
    return made
