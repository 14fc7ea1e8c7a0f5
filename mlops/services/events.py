"""A job's story: rows numbered without gaps, and a nudge to whoever watches."""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import F

from millrace.kernel import valkey
from mlops.models import Job, JobEvent


def channel_of(job_id: UUID) -> str:
    """The Valkey channel on which a job's news is nudged; the rows are the news."""
    return f"millrace:job:{job_id}"


def events_append(job: Job, rows: Iterable[tuple[str, dict[str, Any]]]) -> list[JobEvent]:
    """Append (kind, data) lines. Locks the job's row, which numbers them one writer at a time.

    Call it in the transaction of what the lines tell.
    """
    lines = list(rows)
    if not lines:
        return []
    with transaction.atomic():
        Job.objects.filter(pk=job.pk).update(event_count=F("event_count") + len(lines))
        last = Job.objects.values_list("event_count", flat=True).get(pk=job.pk)
        made = JobEvent.objects.bulk_create(
            JobEvent(
                tenant_id=job.tenant_id,
                job_id=job.pk,
                sequence=last - len(lines) + place,
                epoch=job.epoch,
                kind=kind,
                data=data,
            )
            for place, (kind, data) in enumerate(lines, start=1)
        )
        job.event_count = last
        transaction.on_commit(lambda: _nudge(job.pk), robust=True)
    return made


def _nudge(job_id: UUID) -> None:
    valkey.client().publish(channel_of(job_id), b"")
