"""Device time: opened, extended by heartbeats, closed, and settled exactly once.

Settling writes the segment's disposition, the usage event and the job's sum in one transaction, so a kill -9 at any
moment leaves a segment either settled with its usage, or pending, which the reaper closes as the platform's loss.
"""

from uuid import UUID

from django.db import transaction
from django.db.models import F

from billing.services.usage import usage_record
from millrace.kernel import clock
from mlops import policy, selectors
from mlops.errors import LeaseLost
from mlops.models import Checkpoint, Disposition, Job, Segment, SegmentKind
from mlops.services.devices import session_seen
from mlops.services.leases import job_held

# Where a segment crosses the job's limit, the rest stands apart under its number plus this.
_REST = 1_000_000


def job_segment_open(*, job_id: UUID, epoch: int, sequence: int, start_ms: int) -> Segment:
    """The holder begins a segment where the one before it ended. Safe to repeat. Raises LeaseLost."""
    with transaction.atomic():
        job = job_held(job_id, epoch)
        known = Segment.objects.filter(job_id=job_id, epoch=epoch, sequence=sequence).first()
        if known is not None:
            return known
        _check_follows(job, sequence, start_ms)
        session = job.session
        assert session is not None  # noqa: S101 - a held job has one, by a constraint
        session_seen(session.pk, until_ms=start_ms)
        return Segment.objects.create(
            tenant_id=job.tenant_id,
            kind=SegmentKind.JOB,
            session=session,
            session_lane=session.lane,
            device_id=session.device_id,
            job=job,
            epoch=epoch,
            sequence=sequence,
            start_ms=start_ms,
            end_ms=start_ms,
            meter=job.meter,
        )


def job_segment_record(*, job_id: UUID, epoch: int, sequence: int, end_ms: int) -> Segment:
    """The holder closes a segment; it stays pending until a checkpoint or the end settles it. Raises LeaseLost."""
    with transaction.atomic():
        job = job_held(job_id, epoch)
        return _close(job, sequence, end_ms)


def job_checkpoint_record(
    *, job_id: UUID, epoch: int, sequence: int, end_ms: int, step: int, storage_key: str, size: int
) -> Checkpoint:
    """The holder closes a segment with a checkpoint behind it: it is billed, and the job can go on from here.

    Of the ones before, the last few are kept. Safe to repeat. Raises LeaseLost; then neither was written.
    """
    with transaction.atomic():
        job = job_held(job_id, epoch)
        known = Checkpoint.objects.filter(job_id=job_id, epoch=epoch, step=step).first()
        segment = _close(job, sequence, end_ms)
        segment_settle(job, segment, billable=True)
        if known is not None:
            return known
        made = Checkpoint.objects.create(
            tenant_id=job.tenant_id,
            job=job,
            epoch=epoch,
            step=step,
            storage_key=storage_key,
            size=size,
            billed_ms=job.billed_ms,
        )
        older = selectors.checkpoints(job.tenant_id, job.pk).values_list("pk", flat=True)[policy.KEPT_CHECKPOINTS :]
        Checkpoint.objects.filter(pk__in=list(older)).update(expired_at=clock.now())
    return made


def job_checkpoint_drop(job: Job) -> bool:
    """The checkpoint that a locked job would go on from is of no use: it goes on from the one before. False: none was left."""
    last = selectors.checkpoints(job.tenant_id, job.pk).first()
    if last is None:
        return False
    return bool(Checkpoint.objects.filter(pk=last.pk).update(expired_at=clock.now()))


def segment_settle(job: Job, segment: Segment, *, billable: bool) -> None:
    """Decide whose time a pending segment was. `job` is locked. A settled one stays as it is.

    A job is never billed beyond its limit: what a segment has over it is the platform's.
    """
    if segment.disposition != Disposition.PENDING:
        return
    if billable:
        segment = _cut_at_limit(job, segment)
    segment.disposition = Disposition.BILLED if billable else Disposition.LOST
    segment.settled_at = clock.now()
    segment.save(update_fields=["disposition", "settled_at"])
    duration = segment.duration_ms
    if billable and duration:
        usage_record(
            tenant_id=segment.tenant_id,
            meter=segment.meter,
            quantity=duration,
            occurred_at=segment.settled_at,
            key=f"segment:{segment.pk}",
            properties={"epoch": segment.epoch, "sequence": segment.sequence, "device": str(segment.device_id)},
            job_id=job.pk,
        )
    column = "billed_ms" if billable else "lost_ms"
    Job.objects.filter(pk=job.pk).update(**{column: F(column) + duration})
    setattr(job, column, getattr(job, column) + duration)


def segments_settle_pending(job: Job, *, epoch: int, billable: bool) -> int:
    """Settle what an epoch of a locked job left pending; returns how many segments that were."""
    pending = Segment.objects.filter(job=job, epoch=epoch, disposition=Disposition.PENDING).order_by("sequence")
    found = list(pending)
    for segment in found:
        segment_settle(job, segment, billable=billable)
    return len(found)


def _close(job: Job, sequence: int, end_ms: int) -> Segment:
    try:
        segment = Segment.objects.get(job=job, epoch=job.epoch, sequence=sequence)
    except Segment.DoesNotExist as missing:
        raise LeaseLost(f"job {job.pk}, epoch {job.epoch} opened no segment {sequence}") from missing
    if segment.disposition == Disposition.PENDING:
        segment.end_ms = max(segment.end_ms, end_ms)
        segment.save(update_fields=["end_ms"])
        session_seen(segment.session_id, until_ms=segment.end_ms)
    return segment


def _check_follows(job: Job, sequence: int, start_ms: int) -> None:
    """Segments of an epoch are numbered from 0 and leave no gap between them."""
    if sequence == 0:
        return
    before = Segment.objects.filter(job=job, epoch=job.epoch, sequence=sequence - 1).first()
    rest = Segment.objects.filter(job=job, epoch=job.epoch, sequence=sequence - 1 + _REST).first()
    end_ms = rest.end_ms if rest else (before.end_ms if before else None)
    if end_ms != start_ms:
        raise ValueError(f"segment {sequence} of {job.public_id} starts at {start_ms}; the one before ends at {end_ms}")


def _cut_at_limit(job: Job, segment: Segment) -> Segment:
    over = job.billed_ms + segment.duration_ms - job.limit_ms
    if over <= 0:
        return segment
    over = min(over, segment.duration_ms)
    cut_ms = segment.end_ms - over
    end_ms, segment.end_ms = segment.end_ms, cut_ms
    segment.save(update_fields=["end_ms"])
    rest = Segment(
        tenant_id=segment.tenant_id,
        kind=segment.kind,
        session_id=segment.session_id,
        session_lane=segment.session_lane,
        device_id=segment.device_id,
        job=job,
        epoch=segment.epoch,
        sequence=segment.sequence + _REST,
        start_ms=cut_ms,
        end_ms=end_ms,
        meter=segment.meter,
    )
    rest.save(force_insert=True)
    segment_settle(job, rest, billable=False)
    return segment
