"""How a run of a job ends, and what becomes of the job then."""

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.db import transaction

from billing.services.entitlements import spend_release
from billing.services.usage import usage_record
from millrace.kernel import clock
from millrace.kernel.db import DbNow
from mlops import policy
from mlops.models import Job, JobKind, JobState
from mlops.services.costs import ITEMS_METER
from mlops.services.leases import job_held, retry_delay
from mlops.services.registry import version_create
from mlops.services.segments import job_checkpoint_drop, segments_settle_pending
from mlops.services.transitions import job_become
from mlops.states import AT_REST


@dataclass(frozen=True)
class Artifact:
    """A file of a run's output, as it lies in the store."""

    storage_key: str
    sha256: str
    size: int


@dataclass(frozen=True)
class Ending:
    """What a worker tells of a run. `code` is one of mlops.runtime.spec.OUTCOME_CODES.

    `handed_back`: the worker itself was told to stop, and the run left for that. `tail_billable`: whether the last
    stretch, which no checkpoint settled, was what the tenant asked for.
    """

    succeeded: bool
    code: str
    message: str = ""
    result: dict[str, Any] | None = None
    artifacts: dict[str, Artifact] = field(default_factory=dict)
    card: str = ""
    tail_billable: bool = False
    handed_back: bool = False


def job_finish(*, job_id: UUID, epoch: int, ending: Ending) -> Job:
    """Settle the run's last stretch and move the job on, in one transaction. Raises LeaseLost; nothing is written then.

    Succeeded: a training's weights become a model version. Canceled as asked, whatever else ended the run after that.
    Handed back: queued again, and the attempt does not count. Stopped by its limit: paused where a spend cap set that,
    else failed. Its checkpoint damaged or of an older recipe: queued again, to go on from the one before. The platform's
    fault: queued again, aborted after policy.MAX_ATTEMPTS. Anything else failed.
    """
    with transaction.atomic():
        job = job_held(job_id, epoch)
        segments_settle_pending(job, epoch=epoch, billable=ending.tail_billable)
        if ending.succeeded:
            _succeed(job, ending)
        elif ending.code == "canceled" and ending.handed_back and not job.stop_asked:
            job_become(job, JobState.QUEUED, code="handed_back", reason="its worker was stopped",
                       attempts=max(0, job.attempts - 1))  # fmt: skip
        elif ending.code == "canceled" or job.stop_asked:
            job_become(job, JobState.CANCELED, code="canceled", reason=ending.message)
        elif ending.code == "time_limit" and job.spend_cap is not None:
            job_become(job, JobState.PAUSED, code="spend_cap", reason="the spend cap is used up")
        elif ending.code == "checkpoint_invalid" and job_checkpoint_drop(job):
            # Not an attempt: there are only so many to drop, and then it begins again.
            job_become(job, JobState.QUEUED, code=ending.code, reason=ending.message, attempts=max(0, job.attempts - 1))
        elif ending.code in policy.RETRIED:
            job_retry(job, code=ending.code, reason=ending.message)
        else:
            job_become(job, JobState.FAILED, code=ending.code, reason=ending.message)
        job_settle_reservation(job)
    return job


def job_retry(job: Job, *, code: str, reason: str) -> None:
    """Queue a locked job again after the platform failed it, or give up on it."""
    if job.attempts >= policy.MAX_ATTEMPTS:
        reason = f"given up after {job.attempts} attempts; the last: {reason}"
        job_become(job, JobState.ABORTED, code=code, reason=reason)
    else:
        job_become(job, JobState.QUEUED, code=code, reason=reason, not_before=DbNow() + retry_delay(job.attempts))


def job_settle_reservation(job: Job) -> None:
    """A job at rest holds no money."""
    if job.state in AT_REST:
        spend_release(tenant_id=job.tenant_id, key=job.reservation_key)


def _succeed(job: Job, ending: Ending) -> None:
    result = dict(ending.result or {})
    if job.kind == JobKind.TRAIN:
        version = version_create(job=job, result=result, weights=ending.artifacts["weights"], card=ending.card)
        result |= {"model_version": str(version.pk)}
    if job.kind == JobKind.BATCH_PREDICT:
        output = ending.artifacts["predictions"]
        result |= {"storage_key": output.storage_key, "sha256": output.sha256, "bytes": output.size}
        usage_record(
            tenant_id=job.tenant_id,
            meter=ITEMS_METER,
            quantity=int(result["items"]),
            occurred_at=clock.now(),
            key=f"job:{job.pk}:items",
            job_id=job.pk,
            model_id=job.model_version.model_id if job.model_version else None,
        )
    job_become(job, JobState.SUCCEEDED, result=result, progress=dict(job.progress) | {"fraction": 1.0})
