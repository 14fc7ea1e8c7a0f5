"""The event stream of a job: Server-Sent Events that resume where they broke off and end when the job does."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from uuid import UUID

import msgspec
from asgiref.sync import sync_to_async
from django.db import connection
from django.http import StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request

from millrace.api.views import ApiView
from millrace.kernel import valkey
from millrace.kernel.errors import TooManyRequests
from millrace.kernel.tenancy import no_scope, tenant_scope
from mlops import selectors
from mlops.api.negotiation import AsItComes
from mlops.models import Job, JobEvent
from mlops.services.events import channel_of
from mlops.states import AT_REST

# A nudge that got lost costs this much; it is also how often an idle stream shows that it lives.
_POLL_SECONDS = 2.0
_MOST_AT_ONCE = 500
# Each stream holds a connection to Valkey and looks into the database: so many of a tenant, in this process.
_MOST_OF_A_TENANT = 100
_open: Counter[UUID] = Counter()


class JobEventsView(ApiView):
    """`/v1/jobs/{id}/events`."""

    permission = {"GET": "jobs.read"}
    content_negotiation_class = AsItComes

    @extend_schema(
        responses={(200, "text/event-stream"): OpenApiTypes.STR},
        parameters=[OpenApiParameter("Last-Event-ID", str, OpenApiParameter.HEADER, description="Go on behind it.")],
    )
    def get(self, request: Request, job_id: str) -> StreamingHttpResponse:
        """Everything that happened and happens to the job, until it rests."""
        job = selectors.job(self.caller.tenant_id, job_id)
        if _open[job.tenant_id] >= _MOST_OF_A_TENANT:
            raise TooManyRequests("Too many event streams of this organisation are open.", retry_after=10)
        last = request.headers.get("Last-Event-ID", request.query_params.get("after", "0"))
        after = int(last) if last.isascii() and last.isdigit() and len(last) <= 9 else 0
        answer = StreamingHttpResponse(_stream(job.tenant_id, job.pk, after), content_type="text/event-stream")
        answer["Cache-Control"] = "no-store"
        answer["X-Accel-Buffering"] = "no"
        return answer


async def _stream(tenant_id: UUID, job_id: UUID, after: int) -> AsyncIterator[bytes]:
    client = valkey.async_client()
    nudges = client.pubsub()
    _open[tenant_id] += 1
    try:
        await nudges.subscribe(channel_of(job_id))
        while True:
            lines, rests = await sync_to_async(_read, thread_sensitive=False)(tenant_id, job_id, after)
            for line in lines:
                after = line.sequence
                yield _spell(line)
            if len(lines) == _MOST_AT_ONCE:
                continue
            if rests:
                yield b"event: end\ndata: {}\n\n"
                return
            if not lines:
                yield b": still here\n\n"
            await _nudge(nudges)
    finally:
        _open[tenant_id] -= 1
        await nudges.aclose()
        await client.aclose()


async def _nudge(nudges: object) -> None:
    """Sleep until there may be news. Several nudges at once are one."""
    message = await nudges.get_message(ignore_subscribe_messages=True, timeout=_POLL_SECONDS)  # type: ignore[attr-defined]
    if message is not None:
        await asyncio.sleep(0.05)


def _read(tenant_id: UUID, job_id: UUID, after: int) -> tuple[list[JobEvent], bool]:
    """News behind `after`, and whether there will be no more. The state is read first, so no last line is missed."""
    try:
        with no_scope(), tenant_scope(tenant_id):
            state = Job.objects.values_list("state", flat=True).get(pk=job_id)
            lines = list(selectors.job_events(tenant_id, job_id, after=after)[:_MOST_AT_ONCE])
        return lines, state in AT_REST
    finally:
        if not connection.in_atomic_block:
            connection.close()


def _spell(line: JobEvent) -> bytes:
    data = {"at": line.created_at, "epoch": line.epoch} | line.data
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (line.sequence, line.kind.encode(), msgspec.json.encode(data))
