"""What nobody asks for again is deleted after a while: one batch a transaction, so that nobody waits for it."""

from datetime import datetime, timedelta
from importlib import import_module

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet

from millrace.kernel import clock
from millrace.kernel.models import IdempotencyRecord, OutboxEvent
from millrace.kernel.tenancy import platform_scope


def idempotency_purge(*, batch: int = 500, limit: int = 50_000) -> int:
    """Delete records older than the setting IDEMPOTENCY_KEEP_DAYS, oldest first, at most `limit`; returns how many.

    Safe to run at the same time as itself and to be killed: each batch is a transaction and passes over rows that
    another holds.
    """
    old = IdempotencyRecord.objects.filter(created_at__lt=_days_ago(settings.IDEMPOTENCY_KEEP_DAYS))
    return _purge(old.order_by("created_at"), batch, limit)


def outbox_purge(*, batch: int = 500, limit: int = 50_000) -> int:
    """Delete news that every consumer has had for OUTBOX_KEEP_DAYS, with the proofs of it; as above.

    What is not done stays, however old: somebody has yet to hear of it.
    """
    old = OutboxEvent.objects.filter(done_at__lt=_days_ago(settings.OUTBOX_KEEP_DAYS))
    return _purge(old.order_by("done_at"), batch, limit)


def sessions_purge() -> None:
    """Delete log-ins that have expired."""
    import_module(settings.SESSION_ENGINE).SessionStore.clear_expired()


def _days_ago(days: int) -> datetime:
    return clock.now() - timedelta(days=days)


def _purge(rows: QuerySet, batch: int, limit: int) -> int:
    done = 0
    while done < limit:
        deleted = _purge_batch(rows, min(batch, limit - done))
        done += deleted
        if not deleted:
            break
    return done


def _purge_batch(rows: QuerySet, size: int) -> int:
    with platform_scope(reason="what is old, of every tenant"), transaction.atomic():
        ids = list(rows.select_for_update(skip_locked=True).values_list("pk", flat=True)[:size])
        rows.model.objects.filter(pk__in=ids).delete()
    return len(ids)
