"""The one immutable binding of a tenant to how it came."""

from django.db import models

from channels_partners.models.channels import Campaign, Channel
from channels_partners.models.links import Code, Deal, Link
from channels_partners.models.partners import Partner, TermsVersion
from channels_partners.models.visits import Click
from millrace.kernel.models import TenantModel, append_only


class AttributionStatus(models.TextChoices):
    """Held and rejected attributions earn nothing."""

    BOUND = "bound"
    HELD = "held"
    REJECTED = "rejected"


class Precedence(models.TextChoices):
    """Which kind of evidence won; the order is `channels_partners.attribution`'s."""

    RESELLER = "reseller"
    DEAL = "deal"
    COUPON = "coupon"
    CLICK = "click"
    DIRECT = "direct"


class Attribution(TenantModel):
    """How a tenant came, with its evidence and the commission terms frozen as of then. One a tenant, for good: only a
    review of a held one writes to it again."""

    PREFIX = "att"

    channel = models.ForeignKey(Channel, on_delete=models.PROTECT, related_name="attributions")
    partner = models.ForeignKey(Partner, on_delete=models.PROTECT, null=True, related_name="attributions")
    campaign = models.ForeignKey(Campaign, on_delete=models.PROTECT, null=True, related_name="attributions")
    link = models.ForeignKey(Link, on_delete=models.PROTECT, null=True, related_name="attributions")
    click = models.ForeignKey(Click, on_delete=models.PROTECT, null=True, related_name="attributions")
    code = models.ForeignKey(Code, on_delete=models.PROTECT, null=True, related_name="attributions")
    deal = models.ForeignKey(Deal, on_delete=models.PROTECT, null=True, related_name="attributions")
    precedence = models.CharField(max_length=16, choices=Precedence)
    evidence = models.JSONField(default=dict)
    terms = models.ForeignKey(TermsVersion, on_delete=models.PROTECT, null=True, related_name="+")
    terms_snapshot = models.JSONField(null=True)
    status = models.CharField(max_length=16, choices=AttributionStatus)
    held_reasons = models.JSONField(default=list)
    bound_at = models.DateTimeField()
    reviewed_at = models.DateTimeField(null=True)
    reviewed_by = models.CharField(max_length=80, default="", blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["tenant"], name="one_attribution_per_tenant")]
        indexes = [
            models.Index(fields=["partner", "bound_at"], name="attribution_by_partner"),
            models.Index(fields=["channel", "bound_at"], name="attribution_by_channel"),
        ]
        triggers = append_only("status", "reviewed_at", "reviewed_by")
