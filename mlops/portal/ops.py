"""What the devices did and cost, for the company's own people."""

from datetime import UTC, date, datetime, time, timedelta

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from accounts.portal.guard import page
from millrace.kernel import clock
from millrace.kernel.errors import Invalid
from mlops.reports import device_report

_DEFAULT_DAYS = 30


@require_safe
@page("ops.read")
def devices(request: HttpRequest) -> HttpResponse:
    """Every device: billed, lost, open and idle time, which make up its wall time."""
    end = _day(request, "to", clock.now().date() + timedelta(days=1))
    start = _day(request, "from", end - timedelta(days=_DEFAULT_DAYS))
    if start >= end:
        raise Invalid("The first day lies before the last.", field="from")
    rows = device_report(since=_midnight(start), until=_midnight(end))
    values = {
        "rows": rows,
        "start": start,
        "end": end,
        "wall": sum(row.wall_ms for row in rows),
        "billed": sum(row.billed_ms for row in rows),
        "lost": sum(row.lost_ms for row in rows),
    }
    return render(request, "mlops/devices.html", values)


def _day(request: HttpRequest, name: str, default: date) -> date:
    try:
        return date.fromisoformat(request.GET[name]) if request.GET.get(name) else default
    except ValueError as error:
        raise Invalid("Days are written as 2026-11-21.", field=name) from error


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
