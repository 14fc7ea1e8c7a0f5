"""The one place where a job's state changes."""

from typing import Any

from django.db import transaction

from millrace.kernel import clock, outbox
from mlops.errors import JobStateRefused
from mlops.models import Job, JobState
from mlops.services.events import events_append
from mlops.states import may_become

_TOLD = frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELED, JobState.ABORTED, JobState.PAUSED})


def job_become(job: Job, state: str, *, code: str = "", reason: str = "", **changes: Any) -> Job:
    """Move a locked job to `state`, write the line of its story, and announce `job.<state>`.

    Raises JobStateRefused where there is no such way; then nothing changed.
    """
    before = job.state
    if not may_become(before, state):
        raise JobStateRefused(f"A job that is {before} cannot become {state}.", state=before)
    values = {"state": state, "reason_code": code, "reason": reason[:2000], **changes}
    if state != JobState.RUNNING:
        values |= {"lease_until": None, "worker": ""}
    if state == JobState.QUEUED:
        values |= {"queued_at": clock.now(), "finished_at": None}
    if state in {JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELED, JobState.ABORTED}:
        values["finished_at"] = clock.now()
    with transaction.atomic():
        Job.objects.filter(pk=job.pk).update(**values)
        for name, value in values.items():
            setattr(job, name, value)
        events_append(job, [("state", {"state": str(state), "before": str(before), "code": code, "reason": reason})])
        if state in _TOLD:
            payload = {"job_id": str(job.pk), "kind": job.kind, "code": code, "billed_ms": job.billed_ms}
            outbox.announce(f"job.{state}", tenant_id=job.tenant_id, payload=payload)
    return job
