"""Celery's doors onto this room: doorbells. What they ring for stands in PostgreSQL."""

from celery import shared_task

from mlops import doorbell
from mlops.services.reaper import jobs_reap
from mlops.services.retention import checkpoints_purge


@shared_task(name="mlops.look", acks_late=False)
def look() -> None:
    """There may be a job: wake this worker's devices. The message names no job, so one that is delivered twice, late
    or never changes nothing (J1)."""
    doorbell.ring()


@shared_task(name="mlops.reap")
def reap() -> int:
    """Take jobs back from workers that fell silent."""
    return jobs_reap()


@shared_task(name="mlops.purge_checkpoints")
def purge_checkpoints() -> int:
    """Delete what jobs that ended long ago could have gone on from."""
    return checkpoints_purge()
