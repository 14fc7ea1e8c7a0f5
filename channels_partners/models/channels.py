"""The ways customers come, and what was spent on them."""

from django.db import models

from millrace.kernel.models import Model, append_only


class ChannelKind(models.TextChoices):
    """TERMS: the way a customer came."""

    DIRECT = "direct"
    AGENT = "agent"
    RESELLER = "reseller"
    MARKETPLACE = "marketplace"
    SOCIAL = "social"
    EVENT = "event"
    CONTENT = "content"
    OTHER = "other"


class Channel(Model):
    """One way in, such as a marketplace or the partners' programme; `slug` is its stable name in reports."""

    PREFIX = "chn"

    slug = models.SlugField(max_length=40, unique=True)
    name = models.CharField(max_length=80)
    kind = models.CharField(max_length=16, choices=ChannelKind)

    def __str__(self) -> str:
        return self.name


class Campaign(Model):
    """A push on a channel: a trade fair, a series of posts. Its click window overrides the installation's."""

    PREFIX = "cmp"

    channel = models.ForeignKey(Channel, on_delete=models.PROTECT, related_name="campaigns")
    slug = models.SlugField(max_length=60, unique=True)
    name = models.CharField(max_length=120)
    click_window_days = models.PositiveSmallIntegerField(null=True)

    def __str__(self) -> str:
        return self.name


class ChannelSpend(Model):
    """Money spent on a channel in a month, for CAC. A correction is a further row, negative if need be."""

    PREFIX = "spn"

    channel = models.ForeignKey(Channel, on_delete=models.PROTECT, related_name="spends")
    campaign = models.ForeignKey(Campaign, on_delete=models.PROTECT, null=True, related_name="spends")
    amount = models.BigIntegerField()
    currency = models.CharField(max_length=3)
    spent_on = models.DateField()
    note = models.CharField(max_length=200, default="", blank=True)
    recorded_by = models.CharField(max_length=80)

    class Meta:
        indexes = [models.Index(fields=["spent_on", "channel"], name="spend_by_day")]
        triggers = append_only()
