"""Celery's doors onto the kernel."""

from celery import shared_task

from millrace.kernel import outbox


@shared_task(name="kernel.drain_outbox")
def drain_outbox() -> int:
    """Deliver due news; rung by every announcement and, in case a ring was lost, by beat."""
    return outbox.drain()
