"""News between rooms: announced in the transaction that makes it true, delivered once to each consumer.

A consumer's effect and the row that proves it commit together, so a crash anywhere neither loses nor doubles one.
A consumer that fails holds up only itself: the others' deliveries stand, and the event comes back later for it.
"""

import logging
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction

from millrace.kernel import clock, doorbell
from millrace.kernel.models import Delivery, OutboxEvent
from millrace.kernel.tenancy import platform_scope

logger = logging.getLogger(__name__)
_LONGEST_WAIT_SECONDS = 900


@dataclass(frozen=True, slots=True)
class Event:
    """What a consumer is handed."""

    id: UUID
    topic: str
    tenant_id: UUID | None
    payload: dict
    occurred_at: datetime


@dataclass(frozen=True, slots=True)
class Consumer:
    """A named handler of one topic; the name is stored, so renaming one delivers old news again."""

    name: str
    handle: Callable[[Event], None]


_consumers: dict[str, list[Consumer]] = defaultdict(list)


def subscribe(topic: str, *, consumer: str) -> Callable:
    """Decorator: call the function with every event of `topic`, exactly once, in the platform's scope."""

    def register(handle: Callable[[Event], None]) -> Callable[[Event], None]:
        if any(known.name == consumer for known in _consumers[topic]):
            raise ValueError(f"{consumer} already listens to {topic}.")
        _consumers[topic].append(Consumer(consumer, handle))
        return handle

    return register


def announce(topic: str, *, tenant_id: UUID | None, payload: dict) -> OutboxEvent:
    """Record news in the caller's transaction, and ring the doorbell once it has committed."""
    event = OutboxEvent.objects.create(topic=topic, tenant_id=tenant_id, payload=payload)
    if settings.OUTBOX_DOORBELL:
        transaction.on_commit(_ring, robust=True)
    return event


def drain(limit: int = 1000, *, tenant_id: UUID | None = None) -> int:
    """Deliver what is due (of one tenant, where named), including news that the deliveries make, up to `limit` events;
    says how many were done."""
    done = 0
    while done < limit:
        outcome = _deliver_next(tenant_id)
        if outcome is None:
            return done
        done += outcome
    return done


def _deliver_next(tenant_id: UUID | None) -> int | None:
    """Handle one due event: 1 when it is finished, 0 when a consumer failed, None when nothing is due."""
    with platform_scope(reason="deliver the outbox"), transaction.atomic():
        due = OutboxEvent.objects.filter(done_at__isnull=True, available_at__lte=clock.now())
        if tenant_id is not None:
            due = due.filter(tenant_id=tenant_id)
        row = due.select_for_update(skip_locked=True).order_by("available_at", "id").first()
        if row is None:
            return None
        event = Event(row.pk, row.topic, row.tenant_id, row.payload, row.created_at)
        failures = [text for consumer in _consumers[row.topic] if (text := _deliver(consumer, event))]
        if failures:
            row.attempts += 1
            row.last_error = "\n".join(failures)[:4000]
            row.available_at = clock.now() + timedelta(seconds=min(2**row.attempts, _LONGEST_WAIT_SECONDS))
        else:
            row.done_at = clock.now()
        row.save(update_fields=["attempts", "last_error", "available_at", "done_at"])
        return 0 if failures else 1


def _deliver(consumer: Consumer, event: Event) -> str:
    """Run one consumer unless it has run; returns the failure as text, for the event's row."""
    try:
        with transaction.atomic():
            if Delivery.objects.filter(consumer=consumer.name, event_id=event.id).exists():
                return ""
            consumer.handle(event)
            Delivery.objects.create(consumer=consumer.name, event_id=event.id)
            # Foreign keys are looked at here: at the commit, one consumer's mistake would hold up all news for ever.
            connection.check_constraints()
    except Exception as error:
        logger.exception("%s failed on %s %s", consumer.name, event.topic, event.id)
        return f"{consumer.name}: {type(error).__name__}: {error}"
    return ""


def _ring() -> None:
    from millrace.kernel.tasks import drain_outbox

    doorbell.ring(drain_outbox)
