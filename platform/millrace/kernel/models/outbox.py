"""News on its way from one room to the others."""

from django.db import models

from millrace.kernel import clock
from millrace.kernel.models.base import Model


class OutboxEvent(Model):
    """An announcement, written in the transaction that made it true and delivered after it."""

    PREFIX = "evt"

    topic = models.CharField(max_length=64)
    tenant = models.ForeignKey("accounts.Tenant", on_delete=models.PROTECT, null=True, related_name="+")
    payload = models.JSONField(default=dict)
    available_at = models.DateTimeField(default=clock.now)
    attempts = models.PositiveIntegerField(default=0)
    last_error = models.TextField(default="", blank=True)
    done_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [
            models.Index(fields=["available_at"], name="outbox_due", condition=models.Q(done_at__isnull=True)),
            models.Index(fields=["done_at"], name="outbox_done", condition=models.Q(done_at__isnull=False)),
        ]


class Delivery(models.Model):
    """Proof that one consumer has carried out one event; written in the same transaction as the effect."""

    id = models.BigAutoField(primary_key=True)
    consumer = models.CharField(max_length=64)
    event = models.ForeignKey(OutboxEvent, on_delete=models.CASCADE, related_name="deliveries")
    delivered_at = models.DateTimeField(default=clock.now)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["consumer", "event"], name="one_delivery_per_consumer")]

    def __str__(self) -> str:
        return f"{self.consumer} ← {self.event_id}"
