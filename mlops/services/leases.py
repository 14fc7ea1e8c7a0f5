"""Who holds a job: claims, heartbeats, and the check that every write of a worker passes.

A claim raises the job's epoch and takes a lease on the database's clock. Whoever writes names the epoch; if the job
has a newer one, is not running, or its lease ran out, nothing is written.
"""

from collections.abc import Collection
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.models import F, FloatField, OuterRef, Q, QuerySet, Subquery, Sum
from django.db.models.functions import Cast, Coalesce

from accounts.models import TenantState
from billing.selectors import standing
from millrace.kernel import clock
from millrace.kernel.db import DbNow
from millrace.kernel.tenancy import platform_scope
from mlops import policy
from mlops.errors import LeaseLost
from mlops.models import DeviceSession, Disposition, Job, JobState, Segment, TenantShare
from mlops.services.devices import session_seen
from mlops.services.transitions import job_become


def job_claim(*, session: DeviceSession, worker: str) -> Job | None:
    """Take the best job for the session's device; None when nothing waits.

    Best: the tenant with the least recent device time for its weight, then the highest priority, then the oldest.
    Rows that another claim holds are skipped, so that one job goes to one worker. A tenant that runs as many jobs at once
    as its plan allows waits with the next.
    """
    full: set[UUID] = set()
    with platform_scope(reason="the queue spans tenants"):
        while True:
            # Each look is a transaction: a tenant found full is not kept locked while the next one is looked at.
            with transaction.atomic():
                job = _waiting(session.device.device_class, besides=full).first()
                if job is None:
                    return None
                if _has_room(job.tenant_id):
                    return _claimed(job, session, worker)
                full.add(job.tenant_id)


def _has_room(tenant_id: UUID) -> bool:
    """Whether the tenant's plan allows one more running job. Claims of one tenant wait here for each other."""
    plan = standing(tenant_id).plan
    most = plan.limits.get("concurrent_jobs") if plan else None
    if most is None:
        return True
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"running jobs of {tenant_id}"])
    return Job.objects.filter(tenant_id=tenant_id, state=JobState.RUNNING).count() < most


def _claimed(job: Job, session: DeviceSession, worker: str) -> Job:
    job_become(
        job,
        JobState.RUNNING,
        epoch=job.epoch + 1,
        lease_until=DbNow() + policy.lease(),
        session_id=session.pk,
        worker=worker,
        attempts=job.attempts + 1,
        started_at=job.started_at or clock.now(),
        not_before=None,
    )
    return Job.objects.select_related("dataset_version", "model_version", "tenant").get(pk=job.pk)


def job_held(job_id: UUID, epoch: int) -> Job:
    """The job's row, locked, for its holder. Raises LeaseLost for anybody else."""
    held = Job.objects.select_for_update().filter(
        pk=job_id, epoch=epoch, state=JobState.RUNNING, lease_until__gt=DbNow()
    )
    job = held.first()
    if job is None:
        raise LeaseLost(f"job {job_id}, epoch {epoch}")
    return job


def job_heartbeat(
    *, job_id: UUID, epoch: int, sequence: int, now_ms: int, progress: dict[str, Any] | None = None
) -> None:
    """Renew the lease and move the open segment's end to `now_ms`. Raises LeaseLost; then nothing was written."""
    with transaction.atomic():
        changes: dict[str, Any] = {"lease_until": DbNow() + policy.lease()}
        if progress is not None:
            changes["progress"] = progress
        held = Job.objects.filter(pk=job_id, epoch=epoch, state=JobState.RUNNING, lease_until__gt=DbNow())
        if held.update(**changes) != 1:
            raise LeaseLost(f"job {job_id}, epoch {epoch}")
        segments = Segment.objects.filter(
            job_id=job_id, epoch=epoch, sequence=sequence, disposition=Disposition.PENDING, end_ms__lt=now_ms
        )
        segments.update(end_ms=now_ms)
        session_id = Job.objects.values_list("session_id", flat=True).get(pk=job_id)
        session_seen(session_id, until_ms=now_ms)


def job_stop_asked(*, job_id: UUID, epoch: int) -> bool:
    """Whether somebody asked the job's holder to stop."""
    return Job.objects.filter(pk=job_id, epoch=epoch).exclude(stop_asked="").exists()


def retry_delay(attempts: int) -> timedelta:
    """Longer after every failed attempt."""
    return timedelta(seconds=policy.RETRY_SECONDS * 2 ** max(0, attempts - 1))


def _waiting(device_class: str, *, besides: Collection[UUID]) -> QuerySet[Job]:
    """Queued jobs of a class and of other tenants than `besides`, the one to take first in front, locked as taken."""
    since = clock.now() - policy.FAIR_WINDOW
    recent = (
        Segment.objects.filter(tenant=OuterRef("tenant"), created_at__gte=since)
        .order_by()
        .values("tenant")
        .annotate(total=Sum(F("end_ms") - F("start_ms")))
        .values("total")
    )
    weight = TenantShare.objects.filter(tenant=OuterRef("tenant")).values("weight")[:1]
    waiting = Job.objects.filter(state=JobState.QUEUED, device_class=device_class)
    due = waiting.filter(Q(not_before__isnull=True) | Q(not_before__lte=DbNow()))
    served = due.exclude(tenant__state__in=[TenantState.SUSPENDED, TenantState.CLOSED]).exclude(tenant__in=besides)
    burden = Cast(Coalesce(Subquery(recent), 0), FloatField()) / Cast(Coalesce(Subquery(weight), 1), FloatField())
    return (
        served.annotate(burden=burden)
        .order_by("burden", "-priority", "created_at", "id")
        .select_for_update(skip_locked=True, of=("self",))
    )
