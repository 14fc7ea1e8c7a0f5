"""Writes down what was served: device time, predictions and usage, several batches in one transaction.

An answer leaves only after its rows are committed: what a customer has seen can be fetched, corrected and is billed;
what could not be stored is not answered, and not billed.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import msgspec
from django.db import connection, transaction

from billing.services.usage import Usage, usage_record_many
from millrace.kernel import clock
from millrace.kernel.money import allocate
from millrace.kernel.tenancy import platform_scope
from mlops.models import DeviceSession, Disposition, Prediction, Segment, SegmentKind
from mlops.services.devices import session_seen
from mlops.serving.messages import PredictReply, PredictRequest


@dataclass(frozen=True)
class ServedBatch:
    """A computed batch of one model version: requests with their outputs, and the stretch of the device it took."""

    requests: tuple[PredictRequest, ...]
    outputs: tuple[list[dict], ...]
    start_ms: int
    end_ms: int


def batches_record(*, session: DeviceSession, meter: str, batches: Sequence[ServedBatch]) -> list[PredictReply]:
    """Store batches whole or not at all; answers to their requests. A request stored before is not billed again.

    A batch has one model and so one tenant; its device time is split over its requests in proportion to their items,
    to the millisecond.
    """
    with platform_scope(reason="a serving process answers every tenant"), transaction.atomic():
        segments = [_segment(session, meter, batch) for batch in batches]
        Segment.objects.bulk_create(segments)
        shares = [_shares(batch) for batch in batches]
        fresh = _insert_predictions(batches, segments, shares)
        _record_usage(batches, segments, fresh)
        session_seen(session.pk, until_ms=max(batch.end_ms for batch in batches))
    return [
        PredictReply(request.id, outputs, share)
        for batch, parts in zip(batches, shares, strict=True)
        for request, outputs, share in zip(batch.requests, batch.outputs, parts, strict=True)
    ]


def stored_replies(request_ids: Sequence[UUID]) -> dict[UUID, PredictReply]:
    """Answers to requests that were carried out before a crash, by request."""
    with platform_scope(reason="a serving process answers every tenant"):
        rows = Prediction.objects.filter(pk__in=request_ids).values_list("pk", "outputs", "device_ms")
        return {pk: PredictReply(pk, outputs, device_ms) for pk, outputs, device_ms in rows}


def _segment(session: DeviceSession, meter: str, batch: ServedBatch) -> Segment:
    first = batch.requests[0]
    return Segment(
        tenant_id=first.tenant_id,
        kind=SegmentKind.SERVING,
        session=session,
        session_lane=session.lane,
        device_id=session.device_id,
        model_version_id=first.version_id,
        start_ms=batch.start_ms,
        end_ms=batch.end_ms,
        disposition=Disposition.BILLED,
        settled_at=clock.now(),
        meter=meter,
    )


def _shares(batch: ServedBatch) -> list[int]:
    return allocate(batch.end_ms - batch.start_ms, [request.items for request in batch.requests])


_INSERT = """
    INSERT INTO mlops_prediction
        (id, created_at, tenant_id, model_version_id, segment_id, items, inputs, outputs, request_hash, device_ms)
    SELECT id, %s, tenant_id, version_id, segment_id, items, inputs, outputs::jsonb, request_hash, device_ms
    FROM unnest(%s::uuid[], %s::uuid[], %s::uuid[], %s::uuid[], %s::int[], %s::bytea[], %s::text[], %s::text[],
                %s::int[])
        AS fresh (id, tenant_id, version_id, segment_id, items, inputs, outputs, request_hash, device_ms)
    ON CONFLICT (id) DO NOTHING
    RETURNING id
"""


def _insert_predictions(
    batches: Sequence[ServedBatch], segments: Sequence[Segment], shares: Sequence[list[int]]
) -> set[UUID]:
    rows = [
        (r.id, r.tenant_id, r.version_id, segment.pk, r.items, r.inputs, msgspec.json.encode(outputs).decode(),
         r.request_hash, share)
        for batch, segment, parts in zip(batches, segments, shares, strict=True)
        for r, outputs, share in zip(batch.requests, batch.outputs, parts, strict=True)
    ]  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute(_INSERT, [clock.now(), *([row[column] for row in rows] for column in range(9))])
        return {row[0] for row in cursor.fetchall()}


def _record_usage(batches: Sequence[ServedBatch], segments: Sequence[Segment], fresh: set[UUID]) -> None:
    """One event a batch and meter: its milliseconds, and its new requests."""
    events: dict[UUID, list[Usage]] = defaultdict(list)
    for batch, segment in zip(batches, segments, strict=True):
        model_id = batch.requests[0].model_id
        new = [request for request in batch.requests if request.id in fresh]
        quantities = {
            segment.meter: ("", segment.duration_ms),
            "predictions": (":predictions", len(new)),
        }
        events[segment.tenant_id] += [
            Usage(meter, quantity, segment.settled_at or clock.now(), f"segment:{segment.pk}{tail}", model_id=model_id)
            for meter, (tail, quantity) in quantities.items()
            if quantity
        ]
    for tenant_id, usage in events.items():
        usage_record_many(tenant_id=tenant_id, events=usage)
