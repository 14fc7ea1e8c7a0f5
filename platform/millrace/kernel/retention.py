"""Answers kept for repeated requests are deleted after a while: one batch a transaction, so that nobody waits for it."""

from datetime import timedelta

from django.conf import settings
from django.db import transaction

from millrace.kernel import clock
from millrace.kernel.models import IdempotencyRecord
from millrace.kernel.tenancy import platform_scope


def idempotency_purge(*, batch: int = 500, limit: int = 50_000) -> int:
    """Delete records older than the setting IDEMPOTENCY_KEEP_DAYS, oldest first, at most `limit`; returns how many.

    Safe to run at the same time as itself and to be killed: each batch is a transaction and passes over rows that
    another holds.
    """
    done = 0
    while done < limit:
        deleted = _purge_batch(min(batch, limit - done))
        done += deleted
        if not deleted:
            break
    return done


def _purge_batch(size: int) -> int:
    oldest_kept = clock.now() - timedelta(days=settings.IDEMPOTENCY_KEEP_DAYS)
    with platform_scope(reason="old answers of every tenant"), transaction.atomic():
        old = IdempotencyRecord.objects.filter(created_at__lt=oldest_kept).order_by("created_at")
        ids = list(old.select_for_update(skip_locked=True).values_list("pk", flat=True)[:size])
        return IdempotencyRecord.objects.filter(pk__in=ids).delete()[0]
