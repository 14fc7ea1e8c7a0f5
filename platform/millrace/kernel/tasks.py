"""Celery's doors onto the kernel."""

from celery import shared_task

from millrace.kernel import doorbell, outbox, retention


@doorbell.answers("kernel.drain_outbox")
def drain_outbox() -> int:
    """Deliver due news; rung by every announcement and, in case a ring was lost, by beat."""
    return outbox.drain()


@shared_task(name="kernel.purge_idempotency")
def purge_idempotency() -> int:
    """Delete answers that nobody may ask for again."""
    return retention.idempotency_purge()


@shared_task(name="kernel.purge_outbox")
def purge_outbox() -> int:
    """Delete news that everybody has heard long ago."""
    return retention.outbox_purge()


@shared_task(name="kernel.purge_sessions")
def purge_sessions() -> None:
    """Delete log-ins that have expired."""
    retention.sessions_purge()
