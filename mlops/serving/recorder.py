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
from millrace.api.idempotency import IdempotencyConflict
from millrace.kernel import clock
from millrace.kernel.ids import uuid7
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


@dataclass
class _Line:
    """A request of a batch on its way to the database. `is_new`: this line stored it, and is billed for it."""

    request: PredictRequest
    outputs: list[dict]
    share_ms: int
    segment_id: UUID
    is_new: bool = False


def batches_record(*, session: DeviceSession, meter: str, batches: Sequence[ServedBatch]) -> list[PredictReply]:
    """Store batches whole or not at all; answers to their requests.

    A batch has one model and so one tenant; its device time is split over its requests in proportion to their items,
    to the millisecond. A request that was stored before is answered as it was then and not billed again: its part of
    the time is the platform's. Stored before with other inputs, its answer is the code `idempotency_conflict`.
    """
    lines = [_lines(batch) for batch in batches]
    every = [line for some in lines for line in some]
    with platform_scope(reason="a serving process answers every tenant"), transaction.atomic():
        _insert_predictions(every)
        segments = [
            one for batch, some in zip(batches, lines, strict=True) for one in _segments(session, meter, batch, some)
        ]
        # After the predictions, whose foreign key is looked at when the transaction ends: only now is known whose it was.
        Segment.objects.bulk_create(segments)
        _record_usage(segments, every)
        session_seen(session.pk, until_ms=max(batch.end_ms for batch in batches))
        first = stored_replies([line.request.id for line in every if not line.is_new])
    return [_reply(line, first) for line in every]


def stored_replies(request_ids: Sequence[UUID]) -> dict[UUID, PredictReply]:
    """Answers to requests that were carried out before, by request."""
    if not request_ids:
        return {}
    with platform_scope(reason="a serving process answers every tenant"):
        rows = Prediction.objects.filter(pk__in=request_ids).values_list("pk", "request_hash", "outputs", "device_ms")
        return {row[0]: PredictReply(*row) for row in rows}


def _reply(line: _Line, first: dict[UUID, PredictReply]) -> PredictReply:
    request = line.request
    if line.is_new:
        return PredictReply(request.id, request.request_hash, line.outputs, line.share_ms)
    stored = first[request.id]
    if stored.request_hash == request.request_hash:
        return stored
    return PredictReply(request.id, request.request_hash, [], 0, IdempotencyConflict.code, IdempotencyConflict.title)


def _lines(batch: ServedBatch) -> list[_Line]:
    segment_id = uuid7()
    shares = allocate(batch.end_ms - batch.start_ms, [request.items for request in batch.requests])
    parts = zip(batch.requests, batch.outputs, shares, strict=True)
    return [_Line(request, outputs, share, segment_id) for request, outputs, share in parts]


def _segments(session: DeviceSession, meter: str, batch: ServedBatch, lines: Sequence[_Line]) -> list[Segment]:
    """The batch's stretch of the device: what its new requests took, and what was only repeated."""
    new = [line for line in lines if line.is_new]
    cut_ms = batch.start_ms + sum(line.share_ms for line in new)
    made = [_segment(session, meter, batch, batch.start_ms, cut_ms, lines[0].segment_id)] if new else []
    if cut_ms < batch.end_ms:
        made.append(_segment(session, meter, batch, cut_ms, batch.end_ms, None))
    return made


def _segment(
    session: DeviceSession, meter: str, batch: ServedBatch, start_ms: int, end_ms: int, billed_as: UUID | None
) -> Segment:
    first = batch.requests[0]
    return Segment(
        id=billed_as or uuid7(),
        tenant_id=first.tenant_id,
        kind=SegmentKind.SERVING,
        session=session,
        session_lane=session.lane,
        device_id=session.device_id,
        model_version_id=first.version_id,
        start_ms=start_ms,
        end_ms=end_ms,
        disposition=Disposition.BILLED if billed_as else Disposition.LOST,
        settled_at=clock.now(),
        meter=meter,
    )


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


def _insert_predictions(lines: Sequence[_Line]) -> None:
    """Store what is not stored yet, and note which lines did: of two with one identifier, the first."""
    rows = [
        (line.request.id, line.request.tenant_id, line.request.version_id, line.segment_id, line.request.items,
         line.request.inputs, msgspec.json.encode(line.outputs).decode(), line.request.request_hash, line.share_ms)
        for line in lines
    ]  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute(_INSERT, [clock.now(), *([row[column] for row in rows] for column in range(9))])
        stored = {row[0] for row in cursor.fetchall()}
    for line in lines:
        line.is_new = line.request.id in stored
        stored.discard(line.request.id)


def _record_usage(segments: Sequence[Segment], lines: Sequence[_Line]) -> None:
    """One event a billed segment and meter: its milliseconds, and its new requests."""
    new: dict[UUID, list[PredictRequest]] = defaultdict(list)
    for line in lines:
        if line.is_new:
            new[line.segment_id].append(line.request)
    events: dict[UUID, list[Usage]] = defaultdict(list)
    for segment in segments:
        requests = new.get(segment.pk)
        if not requests:
            continue
        quantities = {segment.meter: ("", segment.duration_ms), "predictions": (":predictions", len(requests))}
        events[segment.tenant_id] += [
            Usage(meter, quantity, segment.settled_at or clock.now(), f"segment:{segment.pk}{tail}",
                  model_id=requests[0].model_id)
            for meter, (tail, quantity) in quantities.items()
            if quantity
        ]  # fmt: skip
    for tenant_id, usage in events.items():
        usage_record_many(tenant_id=tenant_id, events=usage)
