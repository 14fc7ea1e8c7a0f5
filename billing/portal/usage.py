"""What was used, by day and meter, and what it comes to."""

from datetime import UTC, date, datetime, time, timedelta

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from accounts.portal.guard import page
from billing.portal.account import with_standing
from billing.selectors import Standing, open_quantities, usage_by
from billing.selectors.spending import open_lines, reserved
from millrace.kernel import clock
from millrace.kernel.errors import Invalid
from millrace.kernel.money import Money
from millrace.portal import meters
from millrace.portal.charts import Chart, Series, columns

_LONGEST = timedelta(days=400)


@require_safe
@page("usage.read")
@with_standing
def index(request: HttpRequest, stand: Standing) -> HttpResponse:
    """The period's usage: its cost, each meter by day, and the jobs and models behind it."""
    tenant_id = request.caller.tenant_id  # type: ignore[attr-defined]
    first, last = _period(request, stand)
    start, end = _midnight(first), _midnight(last + timedelta(days=1))
    used = list(usage_by(tenant_id, "meter", start, end))
    chosen = request.GET.get("meter", "") or (used[0]["meter"] if used else "")
    lines = _open_lines(stand)
    held, _ = reserved(tenant_id)
    values = {
        "stand": stand,
        "first": first,
        "last": last,
        "meters": [row | {"label": meters.label(row["meter"]), "is_chosen": row["meter"] == chosen} for row in used],
        "lines": lines,
        "cost": Money(sum(line["amount"] for line in lines), stand.currency),
        "held": Money(held, stand.currency),
        "chart": _by_day(tenant_id, chosen, first, last) if chosen else None,
        "by_job": [row for row in usage_by(tenant_id, "job", start, end) if row["job_id"]][:50],
        "by_model": [row for row in usage_by(tenant_id, "model", start, end) if row["model_id"]][:50],
    }
    return render(request, "billing/usage.html", values)


def _open_lines(stand: Standing) -> list[dict]:
    """What is used and not billed yet, as the lines that an invoice would have today."""
    return [
        {"meter": line.meter, "label": meters.label(line.meter), "quantity": line.quantity, "amount": line.amount}
        for line in open_lines(stand, open_quantities(stand))
    ]


def _by_day(tenant_id: object, meter: str, first: date, last: date) -> Chart:
    rows = usage_by(tenant_id, "day", _midnight(first), _midnight(last + timedelta(days=1)))  # type: ignore[arg-type]
    quantities = {row["day"]: row["total"] for row in rows if row["meter"] == meter}
    days = [first + timedelta(days=offset) for offset in range((last - first).days + 1)]
    return columns(
        f"{meters.label(meter)} by day",
        [f"{day.day} {day:%b}" for day in days],
        [Series(meter, [int(quantities.get(day, 0)) for day in days])],
        text=lambda value: f"{value:,}",
        description=f"{meters.label(meter)} of each day (UTC), in the meter's own unit.",
    )


def _period(request: HttpRequest, stand: Standing) -> tuple[date, date]:
    """The days asked for; else from the period's start until today."""
    today = clock.now().date()
    try:
        first = date.fromisoformat(request.GET["from"]) if request.GET.get("from") else stand.period_start.date()
        last = date.fromisoformat(request.GET["to"]) if request.GET.get("to") else today
    except ValueError as error:
        raise Invalid("Dates are written as 2026-11-21.", field="from") from error
    if not timedelta(0) <= last - first <= _LONGEST:
        raise Invalid("The last day is not before the first, and at most 400 days after it.", field="to")
    return first, last


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
