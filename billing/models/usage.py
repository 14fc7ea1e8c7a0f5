"""What was used: append-only events, each billed at most once."""

import pgtrigger
from django.db import models

from millrace.kernel.models import TenantModel, append_only

LARGEST_QUANTITY = 10**15
# The platform's own meters; `gpu_ms` also has one a device class, as in `gpu_ms:a100`.
PLATFORM_METERS = ("gpu_ms", "cpu_ms", "predictions", "prediction_items", "storage_byte_hours")
OWN_PREFIX = "own:"


class Meter(TenantModel):
    """A tenant's own meter, `own:<name>`: what its programs may count through the API."""

    PREFIX = "meter"

    name = models.CharField(max_length=80)
    unit = models.CharField(max_length=40, blank=True, default="")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["tenant", "name"], name="one_meter_per_name")]


class UsageEvent(TenantModel):
    """A quantity of one meter at one moment. `key` makes recording safe to repeat.

    Nothing of it ever changes but the invoice line that bills it, which is set once (and given back only while that
    line's invoice is a draft that is thrown away).
    """

    PREFIX = "use"

    meter = models.CharField(max_length=80)
    quantity = models.BigIntegerField()
    occurred_at = models.DateTimeField()
    key = models.CharField(max_length=160)
    properties = models.JSONField(default=dict)
    job_id = models.UUIDField(null=True)
    model_id = models.UUIDField(null=True)
    invoice_line = models.ForeignKey(
        "billing.InvoiceLine", on_delete=models.PROTECT, null=True, related_name="usage_events", db_index=False
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["tenant", "key"], name="one_usage_event_per_key"),
            models.CheckConstraint(
                condition=models.Q(quantity__gte=0, quantity__lte=LARGEST_QUANTITY), name="usage_quantity_in_range"
            ),
        ]
        indexes = [
            models.Index(
                fields=["tenant", "meter", "occurred_at"],
                include=["quantity"],
                name="unbilled_usage",
                condition=models.Q(invoice_line__isnull=True),
            ),
            models.Index(fields=["tenant", "occurred_at"], name="usage_by_time"),
            models.Index(fields=["invoice_line"], name="usage_by_line", condition=models.Q(invoice_line__isnull=False)),
        ]
        triggers = [
            *append_only("invoice_line"),
            pgtrigger.Protect(
                name="billed_once",
                operation=pgtrigger.Update,
                condition=pgtrigger.Q(old__invoice_line__isnull=False, new__invoice_line__isnull=False),
            ),
        ]
