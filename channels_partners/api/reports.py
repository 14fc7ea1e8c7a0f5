"""Staff's reports, and the rows that they are made of."""

from typing import Any

from django.http import HttpResponse
from drf_spectacular.utils import OpenApiParameter, extend_schema, inline_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from channels_partners.errors import ReportUnknown
from channels_partners.reports import catalogue, drill, export
from channels_partners.reports.params import FORMATS
from millrace.api import pagination, workbook
from millrace.api.schema import exported
from millrace.api.views import ApiView
from millrace.kernel.tenancy import platform_scope

_PARAMETERS = [
    OpenApiParameter("from", str, description="A day or an RFC 3339 time, UTC; by default the month's first."),
    OpenApiParameter("to", str, description="The end, excluded; by default now."),
    OpenApiParameter("by", str, description="The grouping; each report has its own, named in the refusal of others."),
    OpenApiParameter("currency", str, description="One currency only."),
    OpenApiParameter("format", str, description="json, csv or xlsx."),
]
_COLUMN = inline_serializer(
    "ReportColumn",
    {"name": serializers.CharField(), "kind": serializers.CharField(), "formula": serializers.CharField()},
)
_REPORT = inline_serializer(
    "Report",
    {
        "report": serializers.CharField(),
        "definitions": serializers.CharField(help_text="The version of the definitions."),
        "from": serializers.DateTimeField(),
        "to": serializers.DateTimeField(),
        "by": serializers.CharField(),
        "currency": serializers.CharField(allow_null=True),
        "columns": serializers.ListField(child=_COLUMN),
        "notes": serializers.ListField(child=serializers.CharField()),
        "rows": serializers.ListField(child=serializers.DictField()),
    },
)
_ROWS = inline_serializer(
    "ReportRows",
    {
        "data": serializers.ListField(child=serializers.DictField()),
        "next_cursor": serializers.CharField(allow_null=True),
    },
)


class ReportView(ApiView):
    """Base: `?format=` is the report's, not the framework's choice of a renderer."""

    permission = {"GET": "ops.read"}

    def perform_content_negotiation(self, request: Request, force: bool = False) -> tuple[Any, str]:
        """Problems and JSON by the house's renderer, whatever the format asked for."""
        renderer = self.get_renderers()[0]
        return renderer, renderer.media_type


class ReportDoor(ReportView):
    """One report."""

    @extend_schema(
        parameters=_PARAMETERS,
        responses=exported(_REPORT),
        summary="A growth report",
    )
    def get(self, request: Request, name: str) -> Response | HttpResponse:
        """Figures per currency, with the definitions' version; each row drills to the rows it is made of."""
        params = catalogue.params_of(name, request.query_params)
        wanted = _format(request)
        found = catalogue.report(name, params)
        return Response(found.as_json()) if wanted == "json" else _file(export.table_of(found), wanted, name)


class ReportRows(ReportView):
    """What a line of it is made of."""

    @extend_schema(
        parameters=[*_PARAMETERS, OpenApiParameter("key", str, required=True, description="The row's `group`.")],
        responses=exported(_ROWS),
        summary="The rows that a report's line is made of",
    )  # fmt: skip
    def get(self, request: Request, name: str) -> Response | HttpResponse:
        """Paged; as CSV or XLSX, the page's rows."""
        params = catalogue.params_of(name, request.query_params)
        wanted = _format(request)
        with platform_scope(reason=f"rows of report {name}"):
            found = drill.rows_of(name, params, request.query_params)
            page = pagination.page(request, found.rows, lambda row: row)
            page["data"] = found.show(page["data"])
        if wanted == "json":
            return Response(page)
        return _file(export.table_of_rows(page["data"]), wanted, f"{name}-rows")


def _format(request: Request) -> str:
    wanted = request.query_params.get("format", "json")
    if wanted not in FORMATS:
        raise ReportUnknown(f"A report's format is one of: {', '.join(FORMATS)}.", field="format")
    return wanted


def _file(table: export.Table, wanted: str, name: str) -> HttpResponse:
    if wanted == "xlsx":
        response = HttpResponse(workbook.workbook(table), content_type=workbook.CONTENT_TYPE)
    else:
        response = HttpResponse(export.as_csv(table), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{name}.{wanted}"'
    return response
