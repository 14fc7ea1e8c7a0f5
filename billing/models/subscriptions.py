"""Subscriptions as Stripe has them, and which price held when."""

from django.db import models

from billing.models.accounts import BillingAccount
from billing.models.catalogue import PriceVersion
from millrace.kernel.models import TenantModel, append_only


class SubscriptionStatus(models.TextChoices):
    """Stripe's words."""

    INCOMPLETE = "incomplete"
    INCOMPLETE_EXPIRED = "incomplete_expired"
    TRIALING = "trialing"
    ACTIVE = "active"
    PAST_DUE = "past_due"
    UNPAID = "unpaid"
    PAUSED = "paused"
    CANCELED = "canceled"


# The tenant has the plan, whatever the dunning says.
LIVE = (SubscriptionStatus.TRIALING, SubscriptionStatus.ACTIVE, SubscriptionStatus.PAST_DUE)


class Subscription(TenantModel):
    """The mirror of one subscription at Stripe: one tenant's, paid by its billing account."""

    PREFIX = "sub"

    billing_account = models.ForeignKey(BillingAccount, on_delete=models.PROTECT, related_name="subscriptions")
    # The price in force; a downgrade that waits for the period's end stands in `next_price`.
    price_version = models.ForeignKey(PriceVersion, on_delete=models.PROTECT, related_name="subscriptions")
    next_price = models.ForeignKey(PriceVersion, on_delete=models.PROTECT, null=True, related_name="+")
    next_price_at = models.DateTimeField(null=True)
    status = models.CharField(max_length=24, choices=SubscriptionStatus)
    started_at = models.DateTimeField()
    trial_end = models.DateTimeField(null=True)
    current_period_start = models.DateTimeField()
    current_period_end = models.DateTimeField()
    cancel_at_period_end = models.BooleanField(default=False)
    canceled_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    stripe_id = models.CharField(max_length=64, unique=True)
    stripe_item_id = models.CharField(max_length=64, blank=True, default="")

    class Meta:
        indexes = [models.Index(fields=["tenant", "status"], name="subscription_by_tenant")]


class SubscriptionPhase(TenantModel):
    """From `starts_at` on, the subscription's usage is rated by this price: until the next phase begins."""

    PREFIX = "phase"

    subscription = models.ForeignKey(Subscription, on_delete=models.PROTECT, related_name="phases")
    price_version = models.ForeignKey(PriceVersion, on_delete=models.PROTECT, related_name="+")
    starts_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["subscription", "starts_at"], name="one_phase_per_start")]
        triggers = append_only()
