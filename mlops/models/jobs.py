"""Jobs, what they reported, what they can resume from, and what they were expected to cost."""

from django.db import models
from django.db.models import F, Q

from millrace.kernel.models import TenantModel, append_only
from mlops.models.datasets import DatasetVersion
from mlops.models.devices import DeviceSession
from mlops.states import JobState

__all__ = ["Checkpoint", "Job", "JobEvent", "JobKind", "JobState", "Quote", "TenantShare"]


class JobKind(models.TextChoices):
    """What a job does."""

    TRAIN = "train"
    EVALUATE = "evaluate"
    BATCH_PREDICT = "batch_predict"


class Job(TenantModel):
    """Work for one device. The epoch rises with every claim; who holds an older one may write nothing."""

    PREFIX = "job"

    kind = models.CharField(max_length=16, choices=JobKind)
    state = models.CharField(max_length=12, choices=JobState, default=JobState.VALIDATING)
    # Why it is in its state: a code of mlops.runtime.spec.OUTCOME_CODES or of mlops.states, and a sentence.
    reason_code = models.CharField(max_length=40, blank=True, default="")
    reason = models.TextField(blank=True, default="")
    recipe = models.CharField(max_length=60)
    params = models.JSONField()
    dataset_version = models.ForeignKey(DatasetVersion, on_delete=models.PROTECT, related_name="jobs")
    # train: where its result goes, and the weights it starts from, if any; otherwise: the version at work.
    model = models.ForeignKey("mlops.Model", on_delete=models.PROTECT, null=True, related_name="jobs")
    model_name = models.CharField(max_length=120, blank=True, default="")
    model_version = models.ForeignKey("mlops.ModelVersion", on_delete=models.PROTECT, null=True, related_name="used_by")
    device_class = models.CharField(max_length=40)
    submitted_by = models.CharField(max_length=80)

    # Money: the most it may cost, and the device time that this and the time limit leave it.
    meter = models.CharField(max_length=64)
    currency = models.CharField(max_length=3)
    spend_cap = models.BigIntegerField(null=True)
    reserved = models.BigIntegerField()
    # One reservation for each time it was queued by a person: a released key is never used again.
    reservation = models.PositiveIntegerField(default=1)
    limit_ms = models.BigIntegerField()
    estimate_ms = models.BigIntegerField()

    # Who holds it.
    epoch = models.PositiveIntegerField(default=0)
    lease_until = models.DateTimeField(null=True)
    session = models.ForeignKey(DeviceSession, on_delete=models.PROTECT, null=True, related_name="+")
    worker = models.CharField(max_length=200, blank=True, default="")
    priority = models.SmallIntegerField(default=0)
    attempts = models.PositiveIntegerField(default=0)
    not_before = models.DateTimeField(null=True)
    stop_asked = models.CharField(max_length=12, blank=True, default="", choices=[("cancel", "cancel"), ("", "")])

    queued_at = models.DateTimeField(null=True)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    event_count = models.PositiveIntegerField(default=0)
    progress = models.JSONField(default=dict)
    result = models.JSONField(null=True)
    billed_ms = models.BigIntegerField(default=0)
    lost_ms = models.BigIntegerField(default=0)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(state=JobState.RUNNING, lease_until__isnull=False, session__isnull=False)
                | (~Q(state=JobState.RUNNING) & Q(lease_until__isnull=True)),
                name="job_runs_under_a_lease",
            ),
            models.CheckConstraint(condition=Q(limit_ms__gt=0), name="job_has_time"),
        ]
        indexes = [
            models.Index(fields=["device_class", "created_at"], name="job_queue", condition=Q(state=JobState.QUEUED)),
            models.Index(fields=["lease_until"], name="job_leases", condition=Q(state=JobState.RUNNING)),
            models.Index(F("tenant"), F("id").desc(), name="job_by_tenant"),
        ]

    @property
    def reservation_key(self) -> str:
        """The key under which billing holds this run's worst case."""
        return f"job:{self.pk}:{self.reservation}"


class JobEvent(TenantModel):
    """One line of a job's story, numbered without gaps: what the event stream resumes by."""

    PREFIX = "jev"

    job = models.ForeignKey(Job, on_delete=models.PROTECT, related_name="events")
    sequence = models.PositiveIntegerField()
    epoch = models.PositiveIntegerField()
    kind = models.CharField(max_length=24)
    data = models.JSONField(default=dict)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["job", "sequence"], name="one_event_per_number")]
        triggers = append_only()


class Checkpoint(TenantModel):
    """A state that a run can go on from."""

    PREFIX = "ckp"

    job = models.ForeignKey(Job, on_delete=models.PROTECT, related_name="checkpoints")
    epoch = models.PositiveIntegerField()
    step = models.PositiveBigIntegerField()
    storage_key = models.CharField(max_length=200)
    size = models.BigIntegerField()
    # The device time that is settled up to here.
    billed_ms = models.BigIntegerField()
    # Its job ended long ago, or later ones are kept: no run goes on from here. Later, that its file is let go, too.
    expired_at = models.DateTimeField(null=True)
    freed_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["job", "epoch", "step"], name="one_checkpoint_per_step")]
        indexes = [
            models.Index(fields=["storage_key"], name="checkpoint_by_file"),
            models.Index(fields=["job"], name="checkpoint_kept", condition=Q(expired_at=None)),
            models.Index(
                fields=["expired_at"], name="checkpoint_to_free", condition=Q(expired_at__isnull=False, freed_at=None)
            ),
        ]
        triggers = append_only("expired_at", "freed_at")


class Quote(TenantModel):
    """A price named before a job ran, and how it was reached."""

    PREFIX = "quo"

    request = models.JSONField()
    meter = models.CharField(max_length=64)
    unit_price = models.DecimalField(max_digits=24, decimal_places=12)
    currency = models.CharField(max_length=3)
    estimate_ms = models.BigIntegerField()
    limit_ms = models.BigIntegerField()
    estimate_amount = models.BigIntegerField()
    worst_case_amount = models.BigIntegerField()
    basis = models.JSONField()
    expires_at = models.DateTimeField()

    class Meta:
        triggers = append_only()


class TenantShare(TenantModel):
    """A tenant's weight in the queue: twice the weight, twice the device time while others wait too."""

    PREFIX = "shr"

    weight = models.PositiveSmallIntegerField(default=1)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["tenant"], name="one_share_per_tenant"),
            models.CheckConstraint(condition=Q(weight__gte=1), name="share_has_weight"),
        ]
