"""What partners earn: the settled lines that it is reckoned on, and the entries themselves."""

from django.db import models

from channels_partners.models.attribution import Attribution
from channels_partners.models.partners import Partner
from millrace.kernel.models import Model, TenantModel, append_only

# The ledger's accounts that commissions move.
EXPENSE, PAYABLE = "commission:expense", "commission:payable"


class SettlementKind(models.TextChoices):
    """What happened to the money of a line."""

    PAID = "paid"
    REFUNDED = "refunded"
    DISPUTE_LOST = "dispute_lost"
    REFUND_FAILED = "refund_failed"


class SettledLine(TenantModel):
    """One invoice line paid, refunded, lost in a dispute, or kept because its refund failed or the dispute was won on
    appeal, as billing announced it, for a customer that a partner brought. `source_id` is the invoice, the refund or the
    dispute; `amount` is ex tax, in minor units, and positive whichever way the money flowed. `sequence` is the order in
    which the news came, which commissions fold in.
    """

    PREFIX = "stl"

    attribution = models.ForeignKey(Attribution, on_delete=models.PROTECT, related_name="settled_lines")
    sequence = models.PositiveIntegerField()
    kind = models.CharField(max_length=16, choices=SettlementKind)
    source_id = models.UUIDField()
    invoice_id = models.UUIDField()
    line_id = models.UUIDField()
    stream = models.CharField(max_length=24, default="", blank=True)
    amount = models.BigIntegerField()
    currency = models.CharField(max_length=3)
    # Lines that earn nothing are kept too: credit among them lowers what the others were really paid.
    commissionable = models.BooleanField(default=True)
    occurred_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["line_id", "kind", "source_id"], name="one_settlement_per_source"),
            models.UniqueConstraint(fields=["attribution", "sequence"], name="settlements_in_order"),
        ]
        triggers = append_only()


class EntryKind(models.TextChoices):
    """Earned, taken back, or given again because the refund failed."""

    ACCRUAL = "accrual"
    CLAW_BACK = "claw_back"
    REINSTATEMENT = "reinstatement"


class CommissionEntry(Model):
    """One movement of a partner's commission: positive accrued, negative clawed back, minor units of `currency`.

    `base_amount` is the part of the line that it stands on. A claw-back is released with its accrual, so that what is
    held back is always net.
    """

    PREFIX = "cme"

    attribution = models.ForeignKey(Attribution, on_delete=models.PROTECT, related_name="commission_entries")
    partner = models.ForeignKey(Partner, on_delete=models.PROTECT, related_name="commission_entries")
    kind = models.CharField(max_length=16, choices=EntryKind)
    source_id = models.UUIDField()
    invoice_id = models.UUIDField()
    line_id = models.UUIDField()
    base_amount = models.BigIntegerField()
    amount = models.BigIntegerField()
    currency = models.CharField(max_length=3)
    period = models.DateField()
    occurred_at = models.DateTimeField()
    releases_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["line_id", "kind", "source_id"], name="one_commission_per_source"),
        ]
        indexes = [
            models.Index(fields=["partner", "releases_at"], name="commission_by_release"),
            models.Index(fields=["invoice_id"], name="commission_by_invoice"),
        ]
        triggers = append_only()
