"""Stripe's webhooks as they came."""

from django.db import models

from millrace.kernel import clock
from millrace.kernel.models import Model


class StripeEventState(models.TextChoices):
    """What became of an event."""

    PENDING = "pending"
    HANDLED = "handled"
    IGNORED = "ignored"
    FAILED = "failed"  # given up on after many attempts; kept, and can be set back to pending


class StripeEvent(Model):
    """One event, stored before it is acknowledged and handled after; unique on Stripe's id, so a repeat is nothing."""

    PREFIX = "sevt"

    stripe_id = models.CharField(max_length=80, unique=True)
    type = models.CharField(max_length=80)
    object_id = models.CharField(max_length=80, blank=True, default="")
    payload = models.JSONField()
    stripe_created = models.DateTimeField()
    state = models.CharField(max_length=12, choices=StripeEventState, default=StripeEventState.PENDING)
    attempts = models.PositiveIntegerField(default=0)
    available_at = models.DateTimeField(default=clock.now)
    last_error = models.TextField(blank=True, default="")
    handled_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [
            models.Index(fields=["available_at"], name="stripe_events_due", condition=models.Q(state="pending")),
            models.Index(fields=["type", "created_at"], name="stripe_events_by_type"),
        ]
