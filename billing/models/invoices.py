"""Invoices as Stripe has them, our lines on them, and the money that went back."""

import pgtrigger
from django.db import models

from billing.models.accounts import BillingAccount
from billing.models.catalogue import PriceVersion
from billing.models.subscriptions import Subscription
from millrace.kernel.models import TenantModel, append_only


class InvoiceStatus(models.TextChoices):
    """Stripe's words."""

    DRAFT = "draft"
    OPEN = "open"
    PAID = "paid"
    VOID = "void"
    UNCOLLECTIBLE = "uncollectible"
    DELETED = "deleted"  # a draft that was thrown away at Stripe


class LineKind(models.TextChoices):
    """What a line charges for."""

    SUBSCRIPTION = "subscription"
    PRORATION = "proration"
    USAGE = "usage"
    FLAT = "flat"
    TRUE_UP = "true_up"
    OTHER = "other"


class Invoice(TenantModel):
    """The mirror of one invoice. `tenant` is who consumed; `billing_account` is who pays.

    Amounts are minor units. `subtotal` − `discount` + `tax` = `total`. An invoice that differs from our own figures
    is held: `hold_reason` says how, and it is not finalised.
    """

    PREFIX = "ivc"

    billing_account = models.ForeignKey(BillingAccount, on_delete=models.PROTECT, related_name="invoices")
    subscription = models.ForeignKey(Subscription, on_delete=models.PROTECT, null=True, related_name="invoices")
    stripe_id = models.CharField(max_length=64, unique=True)
    number = models.CharField(max_length=64, blank=True, default="")
    status = models.CharField(max_length=16, choices=InvoiceStatus)
    billing_reason = models.CharField(max_length=40, blank=True, default="")
    currency = models.CharField(max_length=3)
    period_start = models.DateTimeField()
    period_end = models.DateTimeField()
    subtotal = models.BigIntegerField(default=0)
    discount = models.BigIntegerField(default=0)
    tax = models.BigIntegerField(default=0)
    total = models.BigIntegerField(default=0)
    amount_due = models.BigIntegerField(default=0)
    amount_paid = models.BigIntegerField(default=0)
    hosted_url = models.URLField(max_length=1000, blank=True, default="")
    payment_intent_id = models.CharField(max_length=64, blank=True, default="", db_index=True)
    attempt_count = models.PositiveIntegerField(default=0)
    # When its usage was rated: from then on, usage that comes late belongs to the next invoice.
    rated_at = models.DateTimeField(null=True)
    finalized_at = models.DateTimeField(null=True)
    paid_at = models.DateTimeField(null=True)
    # When the payment was posted to the ledger and announced.
    settled_at = models.DateTimeField(null=True)
    hold_reason = models.TextField(blank=True, default="")

    class Meta:
        indexes = [
            models.Index(fields=["tenant", "-id"], name="invoice_by_tenant"),
            models.Index(fields=["status", "paid_at"], name="invoice_by_status"),
        ]


_FINAL = """
    IF EXISTS (SELECT 1 FROM billing_invoice WHERE id = OLD.invoice_id AND status NOT IN ('draft', 'deleted')) THEN
        RAISE EXCEPTION 'Cannot change a line of a finalised invoice' USING ERRCODE = 'check_violation';
    END IF;
    IF TG_OP = 'DELETE' THEN RETURN OLD; END IF;
    RETURN NEW;
"""


class InvoiceLine(TenantModel):
    """One charge, rounded once. Unchangeable from the moment its invoice is finalised.

    `amount` is before `discount` and tax, in minor units; `net` is what revenue and commission are made of. `detail`
    says how the amount was reached (unit prices, tiers, included quantity, rebate).
    """

    PREFIX = "ivl"

    invoice = models.ForeignKey(Invoice, on_delete=models.PROTECT, related_name="lines")
    kind = models.CharField(max_length=16, choices=LineKind)
    stream = models.CharField(max_length=16)
    meter = models.CharField(max_length=80, blank=True, default="")
    # Whole, and as large as any number of the largest events.
    quantity = models.DecimalField(max_digits=40, decimal_places=0, default=0)
    amount = models.BigIntegerField()
    discount = models.BigIntegerField(default=0)
    currency = models.CharField(max_length=3)
    description = models.CharField(max_length=250)
    detail = models.JSONField(default=dict)
    period_start = models.DateTimeField()
    period_end = models.DateTimeField()
    price_version = models.ForeignKey(PriceVersion, on_delete=models.PROTECT, null=True, related_name="+")
    commissionable = models.BooleanField(default=True)
    stripe_line_id = models.CharField(max_length=64, null=True, unique=True)  # noqa: DJ001 - unique when known
    stripe_item_id = models.CharField(max_length=64, null=True, unique=True)  # noqa: DJ001 - unique when known

    class Meta:
        indexes = [models.Index(fields=["tenant", "meter", "period_end"], name="invoice_line_by_meter")]
        triggers = [
            pgtrigger.Trigger(
                name="final",
                level=pgtrigger.Row,
                when=pgtrigger.Before,
                operation=pgtrigger.Update | pgtrigger.Delete,
                func=_FINAL,
            )
        ]

    @property
    def net(self) -> int:
        """What the customer owes for it before tax."""
        return self.amount - self.discount


# Statuses of a refund that gave nothing back, or no longer.
WITHOUT_EFFECT = ("failed", "canceled")


class Refund(TenantModel):
    """Money given back on an invoice, tax included. Posted once, when Stripe says that it succeeded, and reversed once
    when the bank sends it back after that. A credit note stands here, too, as far as it is no refund at Stripe."""

    PREFIX = "rfd"

    invoice = models.ForeignKey(Invoice, on_delete=models.PROTECT, related_name="refunds")
    amount = models.BigIntegerField()
    currency = models.CharField(max_length=3)
    status = models.CharField(max_length=24, default="pending")
    reason = models.CharField(max_length=200, blank=True, default="")
    requested_by = models.CharField(max_length=80, blank=True, default="")
    stripe_id = models.CharField(max_length=64, null=True, unique=True)  # noqa: DJ001 - unique when known
    posted_at = models.DateTimeField(null=True)
    returned_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [models.CheckConstraint(condition=models.Q(amount__gt=0), name="refund_is_positive")]


class Dispute(TenantModel):
    """A payment that the customer's bank took back for the time being, and what became of it."""

    PREFIX = "dsp"

    invoice = models.ForeignKey(Invoice, on_delete=models.PROTECT, related_name="disputes")
    amount = models.BigIntegerField()
    currency = models.CharField(max_length=3)
    status = models.CharField(max_length=32)
    reason = models.CharField(max_length=80, blank=True, default="")
    stripe_id = models.CharField(max_length=64, unique=True)
    # When its loss, or the end of that by an appeal, was last posted and announced.
    posted_at = models.DateTimeField(null=True)

    @property
    def takes_money(self) -> bool:
        """Whether the bank took the payment back, at least for a while: an inquiry asks only, and what was prevented was
        settled by a refund."""
        return not self.status.startswith("warning") and self.status != "prevented"


class ReversalLine(TenantModel):
    """The part of a refund or of a lost dispute that falls on one invoice line, before tax; negative for the part of a
    refund that the bank sent back, or of a dispute that was won on appeal."""

    PREFIX = "rvl"

    refund = models.ForeignKey(Refund, on_delete=models.PROTECT, null=True, related_name="lines")
    dispute = models.ForeignKey(Dispute, on_delete=models.PROTECT, null=True, related_name="lines")
    # None for the part that is tax.
    invoice_line = models.ForeignKey(InvoiceLine, on_delete=models.PROTECT, null=True, related_name="reversals")
    invoice = models.ForeignKey(Invoice, on_delete=models.PROTECT, related_name="reversal_lines")
    amount = models.BigIntegerField()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(refund__isnull=True) ^ models.Q(dispute__isnull=True),
                name="reversal_is_a_refund_or_a_dispute",
            )
        ]
        triggers = append_only()
