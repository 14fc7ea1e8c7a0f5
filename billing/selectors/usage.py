"""What was used, by what."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Count, F, Q, Sum
from django.db.models.functions import TruncDate

from billing.models import Meter, UsageEvent

GROUPS = ("meter", "job", "model", "day")


def meters_of(tenant_id: UUID) -> frozenset[str]:
    """The names of the tenant's own meters."""
    return frozenset(Meter.objects.filter(tenant_id=tenant_id).values_list("name", flat=True))


def usage_by(tenant_id: UUID, group: str, start: datetime, end: datetime) -> Iterator[dict[str, Any]]:
    """Quantities in [start, end) by meter and, unless `group` is meter, by job, model or day (UTC)."""
    rows = UsageEvent.objects.filter(tenant_id=tenant_id, occurred_at__gte=start, occurred_at__lt=end)
    keys: dict[str, Any] | None = {
        "meter": {},
        "job": {"job_id": F("job_id")},
        "model": {"model_id": F("model_id")},
    }.get(group)
    if keys is None:
        keys = {"day": TruncDate("occurred_at")}
    annotations = {name: value for name, value in keys.items() if name == "day"}
    names = ["meter", *keys]
    grouped = rows.annotate(**annotations).values(*names)
    yield from (
        grouped.annotate(
            total=Sum("quantity"),
            events=Count("id"),
            billed=Sum("quantity", filter=Q(invoice_line__isnull=False), default=0),
        ).order_by(*names)
    )
