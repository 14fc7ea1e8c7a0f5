"""Usage: recorded exactly once by (tenant, key), however often and from wherever it is sent."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

import msgspec
from django.db import connection, transaction

from billing.errors import UsageInvalid
from billing.models import LARGEST_QUANTITY, OWN_PREFIX, PLATFORM_METERS, Meter, UsageEvent
from millrace.kernel import clock
from millrace.kernel.audit import Actor, record
from millrace.kernel.errors import Invalid
from millrace.kernel.ids import uuid7_texts

# Structs here are hidden from the garbage collector: a thousand at a time would set it off, and none can be in a cycle.
LONGEST_KEY = 160
OLDEST = timedelta(days=35)
FUTURE = timedelta(minutes=5)
_EARLIEST, _LATEST = datetime(2000, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
_LARGEST_PROPERTIES = 4096
_OWN_NAME = re.compile(r"own:[a-z][a-z0-9_.-]{0,63}")
# What our own devices' time and items are recorded under: a tenant that took such a key first would not be billed.
_PLATFORM_KEY = re.compile(r"(segment|job):[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b.*")
_PLATFORM_NAME = re.compile(rf"({'|'.join(PLATFORM_METERS)})(:[a-z0-9][a-z0-9_.-]{{0,31}})?")


class Usage(msgspec.Struct, frozen=True, gc=False):
    """One quantity of one meter. `key` is unique in the tenant; ms, requests, items, bytes × hours are whole."""

    meter: str
    quantity: int
    occurred_at: datetime
    key: str
    properties: dict | None = None
    job_id: UUID | None = None
    model_id: UUID | None = None


class Recorded(msgspec.Struct, frozen=True, gc=False):
    """`accepted` or `duplicate`. A duplicate that `differs` reused a key for something else: the first one stands."""

    status: str
    differs: bool = False


def usage_record(
    *,
    tenant_id: UUID,
    meter: str,
    quantity: int,
    occurred_at: datetime,
    key: str,
    properties: dict | None = None,
    job_id: UUID | None = None,
    model_id: UUID | None = None,
) -> Recorded:
    """Record one quantity, once. UsageInvalid refuses an impossible one; nothing is stored then."""
    event = Usage(meter, quantity, occurred_at, key, properties, job_id, model_id)
    return usage_record_many(tenant_id=tenant_id, events=[event])[0]


def usage_record_many(*, tenant_id: UUID, events: Sequence[Usage]) -> list[Recorded]:
    """Record several, all or none, each once; answers stand in the order of `events`.

    The insert is the claim: there is no moment at which a key is taken and its quantity is not stored (M1), and a key
    that is known, or comes twice in the list, neither fails nor doubles the rest (M2). UsageInvalid on the first
    impossible one. Runs in the tenant's scope or the platform's, in the caller's transaction if there is one.
    """
    for event in events:
        usage_check(event)
    return _insert(tenant_id, events)


def usage_record_checked(*, tenant_id: UUID, events: Sequence[Usage]) -> list[Recorded]:
    """The same for events that `usage_check_external` has let pass."""
    return _insert(tenant_id, events)


def usage_check(event: Usage) -> None:
    """Refuse what cannot be true of any usage event: UsageInvalid with a code of its own for each fault."""
    if not _PLATFORM_NAME.fullmatch(event.meter) and not _OWN_NAME.fullmatch(event.meter):
        raise UsageInvalid(f"{event.meter[:80]!r} is no meter.", code="meter_unknown", field="meter")
    _check_values(event)


def _check_values(event: Usage) -> None:
    if not 0 <= event.quantity <= LARGEST_QUANTITY:
        raise UsageInvalid(
            f"A quantity is a whole number from 0 to {LARGEST_QUANTITY}.",
            code="quantity_out_of_range",
            field="quantity",
        )
    if event.occurred_at.tzinfo is None:
        raise UsageInvalid("A time names its zone.", code="time_without_zone", field="occurred_at")
    if not _EARLIEST <= event.occurred_at <= _LATEST:
        raise UsageInvalid("The time is out of range.", code="time_out_of_range", field="occurred_at")
    if not 1 <= len(event.key) <= LONGEST_KEY or not event.key.isprintable():
        raise UsageInvalid(
            f"A key has 1 to {LONGEST_KEY} printable characters.", code="key_invalid", field="idempotency_key"
        )


def usage_check_external(event: Usage, *, meters: frozenset[str], now: datetime) -> None:
    """The stricter rules for what a tenant's own program sends: its own registered meters, recent times."""
    if event.meter not in meters:
        raise UsageInvalid(
            f"{event.meter[:80]!r} is not one of this tenant's meters.", code="meter_unknown", field="meter"
        )
    _check_values(event)
    if _PLATFORM_KEY.fullmatch(event.key):
        raise UsageInvalid("Keys of this form are the platform's own.", code="key_reserved", field="idempotency_key")
    if event.occurred_at < now - OLDEST:
        raise UsageInvalid(
            f"Usage older than {OLDEST.days} days is not taken any more.", code="too_old", field="occurred_at"
        )
    if event.occurred_at > now + FUTURE:
        raise UsageInvalid("The time lies in the future.", code="in_future", field="occurred_at")
    if event.properties and len(msgspec.json.encode(event.properties)) > _LARGEST_PROPERTIES:
        raise UsageInvalid(
            f"Properties take {_LARGEST_PROPERTIES} bytes at most.", code="properties_too_large", field="properties"
        )


def meter_register(*, tenant_id: UUID, name: str, unit: str = "", actor: Actor) -> Meter:
    """A meter of the tenant's own, `own:<name>`. Safe to repeat."""
    full = name if name.startswith(OWN_PREFIX) else OWN_PREFIX + name
    if not _OWN_NAME.fullmatch(full):
        raise Invalid("A meter's name is own: and 1 to 64 of a-z, 0-9, '_', '.', '-'.", field="name")
    with transaction.atomic():
        made = Meter(tenant_id=tenant_id, name=full, unit=unit)
        Meter.objects.bulk_create([made], ignore_conflicts=True)
        meter = Meter.objects.get(tenant_id=tenant_id, name=full)
        if meter.pk == made.pk:
            record(actor=actor, action="meter.register", target=meter, tenant_id=tenant_id, data={"name": full})
    return meter


class _Row(msgspec.Struct, gc=False):
    """A row on its way to the database."""

    id: str
    meter: str
    quantity: int
    occurred_at: datetime
    key: str
    properties: dict
    job_id: UUID | None
    model_id: UUID | None


# One statement and one parameter for all rows, and no answer but their number: this is the hottest write of the system,
# and carrying values of a thousand rows one by one, there or back, costs more than storing them.
_INSERT = """
    INSERT INTO billing_usageevent
        (id, created_at, tenant_id, meter, quantity, occurred_at, key, properties, job_id, model_id)
    SELECT id, %s, %s, meter, quantity, occurred_at, key, properties, job_id, model_id
    FROM json_to_recordset(%s::json) AS fresh
        (id uuid, meter text, quantity bigint, occurred_at timestamptz, key text, properties jsonb, job_id uuid,
         model_id uuid)
    ORDER BY key -- two batches with the same keys in opposite orders would deadlock
    ON CONFLICT (tenant_id, key) DO NOTHING
"""


def _insert(tenant_id: UUID, events: Sequence[Usage]) -> list[Recorded]:
    if not events:
        return []
    ids = uuid7_texts(len(events))
    rows = [
        _Row(event_id, one.meter, one.quantity, one.occurred_at, one.key, one.properties or {}, one.job_id,
             one.model_id)
        for event_id, one in zip(ids, events, strict=True)
    ]  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute(_INSERT, [clock.now(), tenant_id, msgspec.json.encode(rows).decode()])
        stored = cursor.rowcount
    return [Recorded("accepted")] * len(ids) if stored == len(ids) else _explain(tenant_id, events, ids)


def _explain(tenant_id: UUID, events: Sequence[Usage], ids: list[str]) -> list[Recorded]:
    """Which of the events stand under the identifiers that they were given, and which under an earlier one."""
    keys = [event.key for event in events]
    known = {row.key: row for row in UsageEvent.objects.filter(tenant_id=tenant_id, key__in=keys)}
    answers = []
    for event, event_id in zip(events, ids, strict=True):
        first = known[event.key]
        same = (first.meter, first.quantity, first.occurred_at) == (event.meter, event.quantity, event.occurred_at)
        fresh = str(first.pk) == event_id
        answers.append(Recorded("accepted") if fresh else Recorded("duplicate", differs=not same))
    return answers
