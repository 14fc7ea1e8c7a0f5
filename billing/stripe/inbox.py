"""The inbox: events are stored before they are acknowledged, and handled after, in any order, any number of times."""

import logging
from datetime import UTC, datetime, timedelta

from django.db import transaction

from billing.models import StripeEvent, StripeEventState
from billing.stripe.handlers import Ignored, handler_of
from millrace.kernel import clock
from millrace.kernel.tenancy import no_scope, platform_scope

logger = logging.getLogger(__name__)
_LEASE = timedelta(minutes=5)
_LONGEST_WAIT_SECONDS = 3600
_MOST_ATTEMPTS = 60


def event_store(payload: dict) -> bool:
    """Keep an event; False when it is known already, which is no error: nothing happens (M9)."""
    row = StripeEvent(
        stripe_id=payload["id"],
        type=payload["type"][:80],
        object_id=str(payload["data"]["object"].get("id") or "")[:80],
        payload=payload,
        stripe_created=datetime.fromtimestamp(payload["created"], UTC),
    )
    StripeEvent.objects.bulk_create([row], ignore_conflicts=True)
    return StripeEvent.objects.filter(pk=row.pk).exists()


def stripe_events_process(limit: int = 10_000) -> int:
    """Handle what is due, until nothing is or `limit` is reached; says how many events were taken up.

    Each is claimed by moving its next attempt into the future, so a crash merely brings it back later.
    """
    done = 0
    with no_scope(), platform_scope(reason="Stripe's events concern all tenants"):
        while done < limit and (event := _claim()) is not None:
            _handle(event)
            done += 1
    return done


def event_retry(event: StripeEvent) -> None:
    """Have a failed event handled again."""
    StripeEvent.objects.filter(pk=event.pk).update(state=StripeEventState.PENDING, available_at=clock.now(), attempts=0)


def _claim() -> StripeEvent | None:
    with transaction.atomic():
        event = (
            StripeEvent.objects.select_for_update(skip_locked=True)
            .filter(state=StripeEventState.PENDING, available_at__lte=clock.now())
            .order_by("available_at", "stripe_created", "id")
            .first()
        )
        if event is not None:
            event.attempts += 1
            event.available_at = clock.now() + _LEASE
            event.save(update_fields=["attempts", "available_at"])
    return event


def _handle(event: StripeEvent) -> None:
    handler = handler_of(event.type)
    try:
        if handler is None:
            raise Ignored("no handler for this type")
        handler(event)
    except Ignored as reason:
        _mark(event, StripeEventState.IGNORED, str(reason))
    except Exception as error:
        logger.exception("Stripe event %s %s failed (attempt %d)", event.stripe_id, event.type, event.attempts)
        _postpone(event, f"{type(error).__name__}: {error}")
    else:
        _mark(event, StripeEventState.HANDLED, "")


def _mark(event: StripeEvent, state: str, note: str) -> None:
    event.state, event.last_error, event.handled_at = state, note[:4000], clock.now()
    event.save(update_fields=["state", "last_error", "handled_at"])


def _postpone(event: StripeEvent, error: str) -> None:
    event.last_error = error[:4000]
    event.available_at = clock.now() + timedelta(seconds=min(2**event.attempts, _LONGEST_WAIT_SECONDS))
    if event.attempts >= _MOST_ATTEMPTS:
        event.state = StripeEventState.FAILED
    event.save(update_fields=["last_error", "available_at", "state"])
