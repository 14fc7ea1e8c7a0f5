"""Devices, the time they were supervised, and the segments of it that somebody used.

A segment is the atom of metering: an interval of one device, in boot-clock milliseconds, held by one job epoch or by
one serving batch. A batch has one model, and a model one tenant, so a segment always has exactly one tenant.
"""

import pgtrigger
from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import RangeOperators
from django.db import models
from django.db.models import F, Func, Q
from django.db.models.expressions import CombinedExpression

from millrace.kernel.models import Model, TenantModel

# Room for 139 years of one boot's milliseconds; a session's lane times this plus a boot time is one point on a line
# that all devices share, so one range index without extensions holds "no overlap on a device".
LANE_WIDTH_MS = 2**42


class Device(Model):
    """A GPU, or a machine's processor as a place to run one job. Belongs to the platform."""

    PREFIX = "dev"

    name = models.CharField(max_length=200, unique=True)
    # "cpu", or a GPU's class such as "h200": what the meter and the price go by.
    device_class = models.CharField(max_length=40)
    memory_bytes = models.BigIntegerField(default=0)
    # What the company pays for it, for contribution and LTV after device cost; zero when not told.
    hourly_cost = models.BigIntegerField(default=0)
    cost_currency = models.CharField(max_length=3, default="CNY")


class DeviceSession(Model):
    """A stretch of one boot during which a worker supervised the device: the wall time that must be accounted for."""

    PREFIX = "dse"

    device = models.ForeignKey(Device, on_delete=models.PROTECT, related_name="sessions")
    purpose = models.CharField(max_length=16, choices=[("jobs", "jobs"), ("serving", "serving")])
    worker = models.CharField(max_length=200)
    lane = models.BigIntegerField(unique=True)
    boot_id = models.CharField(max_length=40)
    started_ms = models.BigIntegerField()
    last_ms = models.BigIntegerField()
    seen_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(last_ms__gte=F("started_ms")), name="session_runs_forward"),
        ]


class Disposition(models.TextChoices):
    """Whose time a segment is. Exactly one in the end (J10)."""

    PENDING = "pending"
    BILLED = "billed"
    LOST = "lost"


class SegmentKind(models.TextChoices):
    """Who held the device."""

    JOB = "job"
    SERVING = "serving"


def _on_lane(name: str) -> CombinedExpression:
    return F("session_lane") * models.Value(LANE_WIDTH_MS) + F(name)


class Segment(TenantModel):
    """An interval of a device. Pending until a checkpoint or the end settles it; settled, it never changes.

    Billed segments have one usage event each, keyed `segment:<id>`; lost ones are the platform's and have none.
    """

    PREFIX = "seg"

    kind = models.CharField(max_length=8, choices=SegmentKind)
    session = models.ForeignKey(DeviceSession, on_delete=models.PROTECT, related_name="segments")
    session_lane = models.BigIntegerField()
    device = models.ForeignKey(Device, on_delete=models.PROTECT, related_name="segments")
    job = models.ForeignKey("mlops.Job", on_delete=models.PROTECT, null=True, related_name="segments")
    model_version = models.ForeignKey("mlops.ModelVersion", on_delete=models.PROTECT, null=True, related_name="+")
    epoch = models.PositiveIntegerField(default=0)
    sequence = models.PositiveIntegerField(default=0)
    start_ms = models.BigIntegerField()
    end_ms = models.BigIntegerField()
    disposition = models.CharField(max_length=8, choices=Disposition, default=Disposition.PENDING)
    meter = models.CharField(max_length=64)
    settled_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(end_ms__gte=F("start_ms")), name="segment_runs_forward"),
            models.CheckConstraint(
                condition=Q(kind=SegmentKind.JOB, job__isnull=False, model_version__isnull=True)
                | Q(kind=SegmentKind.SERVING, job__isnull=True, model_version__isnull=False),
                name="segment_has_one_holder",
            ),
            models.CheckConstraint(
                condition=Q(disposition=Disposition.PENDING, settled_at__isnull=True)
                | (~Q(disposition=Disposition.PENDING) & Q(settled_at__isnull=False)),
                name="segment_settled_once",
            ),
            models.UniqueConstraint(
                fields=["job", "epoch", "sequence"], condition=Q(job__isnull=False), name="one_segment_per_place"
            ),
            ExclusionConstraint(
                name="segments_of_a_device_apart",
                index_type="GIST",
                expressions=[
                    (
                        Func(
                            _on_lane("start_ms"),
                            _on_lane("end_ms"),
                            function="int8range",
                            output_field=models.TextField(),
                        ),
                        RangeOperators.OVERLAPS,
                    )
                ],
            ),
        ]
        indexes = [
            models.Index(fields=["session"], name="segment_by_session"),
            models.Index(fields=["created_at", "tenant"], name="segment_recent"),
        ]
        triggers = [
            pgtrigger.Protect(name="no_delete", operation=pgtrigger.Delete),
            pgtrigger.Protect(
                name="settled_is_final",
                operation=pgtrigger.Update,
                condition=pgtrigger.Q(old__disposition__in=["billed", "lost"]),
            ),
        ]

    @property
    def duration_ms(self) -> int:
        """Milliseconds of the device."""
        return self.end_ms - self.start_ms
