"""Partners, and the immutable terms that they earn by."""

from django.db import models

from channels_partners.models.channels import Channel
from millrace.kernel.models import Model, append_only


class TermsKind(models.TextChoices):
    """How an amount is found."""

    PERCENT = "percent"
    FLAT = "flat"


class TermsDuration(models.TextChoices):
    """For how long a customer earns its partner something."""

    ONCE = "once"
    MONTHS = "months"
    LIFETIME = "lifetime"


class TermsVersion(Model):
    """One version of a commission plan. Nothing of it ever changes: another rate is another version.

    `rate` is a fraction (0.200000 is 20 %). `flat` and `cap` give minor units for each currency, `{"CNY": 50000}`: a
    line in a currency that they do not name is an error, never a guessed conversion (C8). `cap` bounds what one
    customer earns its partner, claw-backs deducted. Commission is held back for `hold_days` after payment.
    """

    PREFIX = "trm"

    slug = models.SlugField(max_length=60)
    version = models.PositiveIntegerField()
    kind = models.CharField(max_length=16, choices=TermsKind)
    rate = models.DecimalField(max_digits=7, decimal_places=6, default=0)
    flat = models.JSONField(default=dict)
    duration = models.CharField(max_length=16, choices=TermsDuration)
    months = models.PositiveSmallIntegerField(null=True)
    cap = models.JSONField(null=True)
    hold_days = models.PositiveSmallIntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["slug", "version"], name="one_terms_per_version"),
            models.CheckConstraint(condition=models.Q(rate__gte=0, rate__lte=1), name="terms_rate_is_a_share"),
            models.CheckConstraint(
                condition=models.Q(duration="months", months__gte=1) | ~models.Q(duration="months"),
                name="terms_months_where_counted",
            ),
        ]
        triggers = append_only()

    def __str__(self) -> str:
        return f"{self.slug} v{self.version}"


class PartnerKind(models.TextChoices):
    """Agents and affiliates earn commission; resellers buy wholesale and bill their customers themselves."""

    AGENT = "agent"
    RESELLER = "reseller"
    AFFILIATE = "affiliate"


class PartnerStatus(models.TextChoices):
    """Only an active partner wins new customers and changes anything; the others read on, and what is bound to them
    keeps earning by its frozen terms."""

    ACTIVE = "active"
    SUSPENDED = "suspended"
    ENDED = "ended"


class Partner(Model):
    """An organisation that works a channel. Its people are the members of `organisation`, a tenant of kind partner.

    The column is not called tenant_id on purpose: links resolve and sign-up pages name partners for strangers.
    """

    PREFIX = "ptr"

    organisation = models.OneToOneField("accounts.Tenant", on_delete=models.PROTECT, related_name="partner")
    name = models.CharField(max_length=120)
    kind = models.CharField(max_length=16, choices=PartnerKind)
    channel = models.ForeignKey(Channel, on_delete=models.PROTECT, related_name="partners")
    status = models.CharField(max_length=16, choices=PartnerStatus, default=PartnerStatus.ACTIVE)
    # What new customers are bound with; those bound keep the version of their day.
    terms = models.ForeignKey(TermsVersion, on_delete=models.PROTECT, null=True, related_name="+")
    discount_percent = models.DecimalField(max_digits=5, decimal_places=2, default=0)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(discount_percent__gte=0, discount_percent__lte=100),
                name="partner_discount_is_a_percentage",
            )
        ]

    def __str__(self) -> str:
        return self.name
