"""What is for sale: plans, and the immutable versions of their prices."""

from django.db import models

from millrace.kernel.models import Model, append_only


class Interval(models.TextChoices):
    """How often the fixed fee recurs and usage is invoiced."""

    MONTH = "month"
    YEAR = "year"


class Plan(Model):
    """A product: its features, limits and, where it is free, its hard monthly quotas."""

    PREFIX = "plan"

    code = models.SlugField(max_length=40, unique=True)
    name = models.CharField(max_length=80)
    description = models.CharField(max_length=400, blank=True, default="")
    # ["gpu", "own_meters", …]: what the plan opens.
    features = models.JSONField(default=list)
    # {"concurrent_jobs": 2, …}: how many at once.
    limits = models.JSONField(default=dict)
    # {"cpu_ms": 3600000, …}: the most of a meter in a calendar month. Only a plan that nobody pays for has them.
    quotas = models.JSONField(default=dict)
    is_public = models.BooleanField(default=True)
    rank = models.PositiveSmallIntegerField(default=0)
    stripe_product_id = models.CharField(max_length=64, blank=True, default="")


class PriceVersion(Model):
    """One published price of a plan in one currency. Never changed: a new price is a new version."""

    PREFIX = "price"

    plan = models.ForeignKey(Plan, on_delete=models.PROTECT, related_name="prices")
    version = models.PositiveIntegerField()
    currency = models.CharField(max_length=3)
    # The fixed fee in minor units, in advance each interval.
    recurring_amount = models.BigIntegerField(default=0)
    interval = models.CharField(max_length=8, choices=Interval, default=Interval.MONTH)
    # Day of the month on which every subscription to this price renews; none: the day of sign-up.
    anchor_day = models.PositiveSmallIntegerField(null=True)
    trial_days = models.PositiveSmallIntegerField(default=0)
    # How usage is rated: see billing.pricing.
    components = models.JSONField(default=list)
    # The least that the usage of a period comes to, in minor units.
    minimum_commitment = models.BigIntegerField(default=0)
    # Whether a period shorter than the interval owes only its share of the minimum.
    prorates_minimum = models.BooleanField(default=True)
    stripe_price_id = models.CharField(max_length=64, blank=True, default="")
    retired_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["plan", "currency", "version"], name="one_price_per_version"),
            models.CheckConstraint(
                condition=models.Q(recurring_amount__gte=0, minimum_commitment__gte=0), name="price_is_not_negative"
            ),
            models.CheckConstraint(
                condition=models.Q(anchor_day__isnull=True) | models.Q(anchor_day__gte=1, anchor_day__lte=28),
                name="anchor_day_is_in_every_month",
            ),
        ]
        triggers = append_only("stripe_price_id", "retired_at")

    @property
    def is_paid(self) -> bool:
        """Whether a subscription to it is invoiced; a free one exists only here, not at Stripe."""
        return bool(self.recurring_amount or self.minimum_commitment or self.components)
