"""The company's own pages: who pays, what each channel brings and costs, what customers say; and what waits for a
decision."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from math import ceil
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from accounts.portal.guard import page
from channels_partners import selectors
from channels_partners.models import Attribution, AttributionStatus
from channels_partners.reports import catalogue, drill
from channels_partners.reports.params import Params
from channels_partners.reports.report import Report
from channels_partners.reports.series import channel_revenue_series, paying_ratio_series
from channels_partners.services.attributions import attribution_review
from millrace.kernel import ids
from millrace.kernel.errors import NotFound
from millrace.kernel.money import Money
from millrace.kernel.tenancy import platform_scope
from millrace.portal.charts import Chart, Series, columns, lines
from millrace.portal.views import attempt, cursor_page

_POINTS = 14
_TITLES = {
    "paying-ratio": "Paying ratio", "funnel": "Funnel", "channel-revenue": "Channel revenue", "mrr": "MRR",
    "retention": "Retention", "ltv": "Lifetime value", "csat": "Satisfaction",
}  # fmt: skip
_HIDDEN = {"drill", "drill_clicks", "group"}
_MONEY_KEYS = {"amount", "mrr"}


@require_safe
@page("ops.read")
def overview(request: HttpRequest) -> HttpResponse:
    """The month's figures, each leading to the report that it is from."""
    params = catalogue.params_of("paying-ratio", {**request.GET.dict(), "by": "total"})
    revenue = catalogue.report("channel-revenue", Params(params.start, params.end, "channel"))
    totals = catalogue.report("channel-revenue", Params(params.start, params.end, "total")).rows
    satisfaction = catalogue.report("csat", Params(params.start, params.end, "total")).rows
    with platform_scope(reason="what waits for a decision"):
        waiting = selectors.attributions(status=AttributionStatus.HELD).count()
    step = max(1, ceil((params.end - params.start) / timedelta(days=_POINTS)))
    charts = [_paying_chart(params, step), *[_revenue_chart(params, row["currency"], step) for row in totals]]
    values = {
        "params": params,
        "last": params.end - timedelta(microseconds=1),
        "paying": catalogue.report("paying-ratio", params).rows[0],
        "totals": totals,
        "satisfaction": satisfaction[0] if satisfaction else None,
        "revenue": _table(revenue),
        "waiting": waiting,
        "query": Params(params.start, params.end, "channel").query(),
        "total_query": Params(params.start, params.end, "total").query(),
        "charts": [one for one in charts if one.rows],  # an empty one shows axes of nothing
    }
    return render(request, "channels_partners/ops.html", values)


@require_safe
@page("ops.read")
def report(request: HttpRequest, name: str) -> HttpResponse:
    """Any report as a table, each row leading to the rows that it is made of."""
    entry = catalogue.entry(name)
    params = catalogue.params_of(name, request.GET.dict())
    found = catalogue.report(name, params)
    values = {
        "name": name,
        "title": _TITLES.get(name, name),
        "params": params,
        "last": params.end - timedelta(microseconds=1),
        "groupings": entry.groupings,
        "table": _table(found),
        "notes": found.notes,
        "others": [(other, _TITLES.get(other, other)) for other in catalogue.REPORTS],
        "export": f"/v1/ops/reports/{name}?{params.query()}",
        "door": f"GET /v1/ops/reports/{name}?{params.query()}",
    }
    return render(request, "channels_partners/report.html", values)


@require_safe
@page("ops.read")
def report_rows(request: HttpRequest, name: str) -> HttpResponse:
    """What a report's line is made of."""
    params = catalogue.params_of(name, request.GET.dict())
    with platform_scope(reason=f"rows of report {name}"):
        found = drill.rows_of(name, params, request.GET.dict())
        part = cursor_page(found.rows, request, size=50)
        shown = found.show(part["rows"])
    names = list(shown[0]) if shown else []
    values = {
        "name": name,
        "title": _TITLES.get(name, name),
        "key": request.GET.get("key", ""),
        "params": params,
        "last": params.end - timedelta(microseconds=1),
        "names": names,
        "rows": [[_drill_cell(row, one) for one in names] for row in shown],
        "page": part,
        "back": f"?{params.query()}",
        "door": f"GET /v1/ops/reports/{name}/rows?{request.GET.urlencode()}",
    }
    return render(request, "channels_partners/report_rows.html", values)


@require_safe
@page("ops.read")
def attributions(request: HttpRequest) -> HttpResponse:
    """Attributions that wait for a person's decision; with `?status=`, others."""
    status = request.GET.get("status", AttributionStatus.HELD)
    status = status if status in AttributionStatus.values else AttributionStatus.HELD
    with platform_scope(reason="attributions are the platform's to review"):
        found = cursor_page(selectors.attributions(status=status), request)
        rows = list(found["rows"])
    values = {"page": found, "rows": rows, "status": status, "statuses": AttributionStatus.values}
    return render(request, "channels_partners/attributions.html", values)


@require_POST
@page("ops.read")
def review(request: HttpRequest, attribution_id: str) -> HttpResponse:
    """Approve or reject."""
    with platform_scope(reason="attributions are the platform's to review"):
        held = selectors.attributions().filter(pk=ids.parse(Attribution.PREFIX, attribution_id)).first()
    if held is None:
        raise NotFound()
    decision, actor = request.POST.get("decision", ""), request.caller.actor  # type: ignore[attr-defined]
    attempt(
        request,
        lambda: attribution_review(attribution=held, decision=decision, actor=actor),
        done=f"{held.public_id} is decided: {decision}.",
    )
    return redirect("ops_attributions")


def _table(found: Report) -> dict[str, Any]:
    """Headings with their definitions, and cells as their column's kind says."""
    # An amount is shown with its currency, which then needs no column.
    hidden = _HIDDEN | ({"currency"} if any(column.kind == "money" for column in found.columns) else set())
    shown = [column for column in found.columns if column.name not in hidden]
    rows = [
        {
            "cells": [
                {"kind": column.kind, "value": _cell(column.kind, row.get(column.name), row)} for column in shown
            ],
            "drill": row.get("drill", "").removeprefix("/v1"),
        }
        for row in found.rows
    ]
    return {"columns": shown, "rows": rows}


def _cell(kind: str, value: Any, row: Mapping[str, Any]) -> Any:
    if kind == "money" and value is not None:
        return Money(round(value), row["currency"])
    return value


def _drill_cell(row: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = row[name]
    if isinstance(value, bool):
        return {"kind": "text", "value": "yes" if value else "no"}
    if isinstance(value, datetime):
        return {"kind": "moment", "value": value}
    if name in _MONEY_KEYS and value is not None and row.get("currency"):
        return {"kind": "money", "value": Money(round(value), row["currency"])}
    if isinstance(value, int):
        return {"kind": "count", "value": value}
    if isinstance(value, list):
        return {"kind": "text", "value": ", ".join(map(str, value))}
    return {"kind": "id" if "_01" in str(value) else "text", "value": value}


def _paying_chart(params: Params, step: int) -> Chart:
    points = paying_ratio_series(params.start, params.end, days=step)
    return lines(
        "Paying users, of all verified ones",
        [f"{point['at'].day} {point['at']:%b}" for point in points],
        [Series("all", [point["users"] for point in points]), Series("paying", [point["paying_users"] for point in points])],
        heading="At the end of",
        text=lambda value: f"{value:,}",
        description="Verified members of open customers' organisations, and those of them whose organisation pays.",
        from_zero=True,
    )  # fmt: skip


def _revenue_chart(params: Params, currency: str, step: int) -> Chart:
    series = channel_revenue_series(params.start, params.end, currency=currency, days=step)
    names = {row["group"]: row["name"] for row in catalogue.report("channel-revenue", params_by_channel(params)).rows}
    first = next(iter(series.values()), [])
    return columns(
        f"Revenue by channel, {currency}",
        [f"{at.day} {at:%b}" for at, _ in first],
        # A column shows what came in; what went back on a day of its own stands in the table of the report.
        [Series(names.get(group, group), [max(amount, 0) for _, amount in points]) for group, points in series.items()],
        heading="From" if step > 1 else "Day",
        text=lambda value: str(Money(int(value), currency)).removeprefix(f"{currency} "),
        description="Settled revenue, ex tax, net of refunds and lost disputes, by the channel that brought the customer.",
        unit=currency,
    )


def params_by_channel(params: Params) -> Params:
    """The same period by channel."""
    return Params(params.start, params.end, "channel", params.currency)
