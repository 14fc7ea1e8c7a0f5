"""The doors on usage: sums of it, a tenant's own meters, and their events."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from billing import selectors
from billing.api import serializers as shapes
from billing.errors import UsageInvalid
from billing.models import Meter
from billing.services.usage import Usage, meter_register, usage_check_external, usage_record_checked
from millrace.api.schema import paged
from millrace.api.views import ApiView
from millrace.kernel import clock
from millrace.kernel.errors import Invalid

LARGEST_BATCH = 1000
_LONGEST_SPAN = timedelta(days=400)
_FIRST_YEAR = 2000


class UsageDoor(ApiView):
    """Sums of usage."""

    permission = {"GET": "usage.read"}

    @extend_schema(
        parameters=[shapes.UsageQuerySerializer], responses=shapes.UsageSerializer, summary="What was used, and billed"
    )
    def get(self, request: Request) -> Response:
        """By meter, or by meter and job, model or day (UTC), in [from, to); without them the last 30 days."""
        wanted = self.valid_query(shapes.UsageQuerySerializer)
        end = wanted.get("to") or clock.now()
        if end.year < _FIRST_YEAR:
            raise Invalid(f"There is no usage before {_FIRST_YEAR}.", field="to")
        start = wanted.get("from") or end - timedelta(days=30)
        if not timedelta(0) <= end - start <= _LONGEST_SPAN:
            raise Invalid(f"`to` lies 0 to {_LONGEST_SPAN.days} days after `from`.", field="from")
        rows = selectors.usage_by(self.caller.tenant_id, wanted["group_by"], start, end)
        return Response({"data": shapes.UsageRowSerializer(rows, many=True).data})


class Meters(ApiView):
    """The tenant's own meters."""

    permission = {"GET": "usage.read", "POST": "usage.write"}

    @paged(shapes.MeterSerializer, summary="The tenant's own meters")
    def get(self, request: Request) -> Response:
        """Newest first."""
        return self.page(Meter.objects.filter(tenant_id=self.caller.tenant_id), shapes.MeterSerializer)

    @extend_schema(
        request=shapes.MeterSerializer, responses={201: shapes.MeterSerializer}, summary="Register a meter of one's own"
    )
    def post(self, request: Request) -> Response:
        """Safe to repeat: a name that is registered answers with its meter."""
        wanted = self.valid(shapes.MeterSerializer)
        meter = meter_register(
            tenant_id=self.caller.tenant_id, name=wanted["name"], unit=wanted.get("unit", ""), actor=self.caller.actor
        )
        return Response(shapes.MeterSerializer(meter).data, status=201)


class EventIn(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """One event as it is sent."""

    meter: str
    quantity: int
    occurred_at: datetime
    idempotency_key: str
    properties: dict[str, Any] | None = None


class UsageEvents(ApiView):
    """The busiest door: a tenant's programs report what they count."""

    permission = {"POST": "usage.write"}
    # Each event has a key of its own, which says more than one of the request could: a repetition answers duplicates.
    idempotent = frozenset()

    @extend_schema(
        request=shapes.UsageEventsSerializer,
        responses=shapes.UsageEventsAnswerSerializer,
        summary="Record usage of the tenant's own meters (1 to 1,000 events)",
    )
    def post(self, request: Request) -> Response:
        """Every event is answered by its place: `accepted`, `duplicate` (its key is known; the first one stands), or
        `refused` with a code, a field and a reason. Refused events do not hold up the others. The request as a whole
        is safe to repeat."""
        answers: list[dict[str, Any]] = []
        sound = self._sort(_events_of(request.data), answers)
        recorded = usage_record_checked(tenant_id=self.caller.tenant_id, events=[event for _, event in sound])
        for (index, _), outcome in zip(sound, recorded, strict=True):
            answers[index]["status"] = outcome.status
            if outcome.differs:
                answers[index]["differs"] = True
        statuses = [answer["status"] for answer in answers]
        counts = {name: statuses.count(status) for name, status in _COUNTS.items()}
        return Response(counts | {"data": answers})

    def _sort(self, raw: Sequence[Any], answers: list[dict[str, Any]]) -> list[tuple[int, Usage]]:
        """Sound events with their places; the others are answered at once."""
        meters, now = selectors.meters_of(self.caller.tenant_id), clock.now()
        sound: list[tuple[int, Usage]] = []
        for index, one in enumerate(raw):
            try:
                event = _usage(one)
                usage_check_external(event, meters=meters, now=now)
            except UsageInvalid as refusal:
                refused = {"code": refusal.code, "field": refusal.field, "detail": refusal.detail}
                answers.append({"index": index, "status": "refused"} | refused)
            else:
                answers.append({"index": index, "status": ""})
                sound.append((index, event))
        return sound


_COUNTS = {"accepted": "accepted", "duplicates": "duplicate", "refused": "refused"}


def _events_of(body: Any) -> list[Any]:
    events = body.get("events") if isinstance(body, dict) and set(body) == {"events"} else None
    if not isinstance(events, list) or not 1 <= len(events) <= LARGEST_BATCH:
        raise Invalid(f'The body is {{"events": […]}} with 1 to {LARGEST_BATCH:,} events.', field="events")
    return events


def _usage(one: Any) -> Usage:
    try:
        event = msgspec.convert(one, type=EventIn)
    except msgspec.ValidationError as error:
        message, _, path = str(error).partition(" - at `$.")
        field = path.rstrip("`").partition(".")[0].partition("[")[0]
        code = f"{field}_invalid" if field else "event_invalid"
        raise UsageInvalid(message, code=code, field=field or "events") from error
    return Usage(event.meter, event.quantity, event.occurred_at, event.idempotency_key, event.properties)
