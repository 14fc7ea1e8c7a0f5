"""Checkpoints that no run goes on from, and of jobs that ended long ago: their files are deleted, their rows stay and say so.

In two steps, so that a kill anywhere leaves nothing half done: first the row says that no run goes on from it, then its
file is deleted and the row says that too. A run between the two finishes what the one before it began.
"""

from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef

from millrace.kernel import clock, storage
from millrace.kernel.tenancy import platform_scope
from mlops.models import Checkpoint, DatasetVersion, Job, ModelVersion
from mlops.states import ENDED

# A file is stored before the row that names it: one that was stored or kept this lately may be about to be named.
_IDLE_SECONDS = 3600.0


def checkpoints_purge(*, batch: int = 100, limit: int = 5_000) -> int:
    """Expire and free checkpoints of jobs that ended more than CHECKPOINT_KEEP_DAYS ago; returns how many were freed.

    Safe to run at the same time as itself: each step passes over rows that another run holds.
    """
    freed = 0
    with platform_scope(reason="old checkpoints of every tenant"):
        _expire(limit)
        after: UUID | None = None
        while freed < limit:
            count, after = _free_batch(batch, after)
            freed += count
            if after is None:
                break
    return freed


def _expire(limit: int) -> None:
    """Mark the checkpoints of such jobs, a job a transaction: its row's lock keeps it from being resumed meanwhile."""
    for _ in range(limit):
        with transaction.atomic():
            over = Job.objects.filter(
                Exists(Checkpoint.objects.filter(job=OuterRef("pk"), expired_at=None)),
                state__in=ENDED,
                finished_at__lt=clock.now() - timedelta(days=settings.CHECKPOINT_KEEP_DAYS),
            )
            job = over.select_for_update(skip_locked=True).order_by("finished_at").first()
            if job is None:
                return
            Checkpoint.objects.filter(job=job, expired_at=None).update(expired_at=clock.now())


def _free_batch(size: int, after: UUID | None) -> tuple[int, UUID | None]:
    """Delete the files of some expired checkpoints behind `after`; how many were freed, and where to go on (None: end)."""
    with transaction.atomic():
        waiting = Checkpoint.objects.filter(expired_at__isnull=False, freed_at=None).order_by("pk")
        if after is not None:
            waiting = waiting.filter(pk__gt=after)
        rows = list(waiting.select_for_update(skip_locked=True)[:size])
        needed = _still_named({row.storage_key for row in rows})
        freed = [row.pk for row in rows if row.storage_key in needed or _discard(row.storage_key)]
        Checkpoint.objects.filter(pk__in=freed).update(freed_at=clock.now())
    return len(freed), rows[-1].pk if rows else None


def _still_named(keys: set[str]) -> set[str]:
    """Those of the files that anything else needs. Equal content has one file, whoever made it.

    Results of batch predictions need no look: the kind of file is part of its name, and theirs is another.
    """
    kept = Checkpoint.objects.filter(storage_key__in=keys, expired_at=None).values_list("storage_key", flat=True)
    weights = ModelVersion.objects.filter(weights_key__in=keys).values_list("weights_key", flat=True)
    data = DatasetVersion.objects.filter(storage_key__in=keys).values_list("storage_key", flat=True)
    return {*kept, *weights, *data}


def _discard(key: str) -> bool:
    return storage.discard_idle(key, idle_seconds=_IDLE_SECONDS)
