"""Staff's door: what the devices did and cost."""

import csv
import io
from datetime import datetime, timedelta

from django.http import HttpResponse
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from millrace.api import workbook
from millrace.api.fields import MoneyField, Serializer, TypeIdField
from millrace.api.schema import exported
from millrace.api.views import ApiView
from millrace.kernel import clock
from millrace.kernel.errors import Invalid
from mlops.api.negotiation import AsItComes
from mlops.reports import DeviceRow, device_report

_COLUMNS = ("name", "device_class", "wall_ms", "billed_ms", "lost_ms", "pending_ms", "idle_ms", "utilisation")
_FIRST_YEAR = 2000


class DevicesQuery(Serializer):
    """A period; the last thirty days where none is named."""

    since = serializers.DateTimeField(required=False)
    until = serializers.DateTimeField(required=False)
    format = serializers.ChoiceField(choices=["json", "csv", "xlsx"], required=False, default="json")

    def to_internal_value(self, data: dict) -> dict:
        """`from` and `to` are the names on the outside; the one is a keyword of Python."""
        renamed = {"from": "since", "to": "until"}
        return super().to_internal_value({renamed.get(name, name): value for name, value in data.items()})


class DeviceRowOut(Serializer):
    """billed + lost + pending + idle = wall, in milliseconds."""

    device = TypeIdField("dev", source="device_id")
    name = serializers.CharField()
    device_class = serializers.CharField()
    wall_ms = serializers.IntegerField()
    billed_ms = serializers.IntegerField()
    lost_ms = serializers.IntegerField()
    pending_ms = serializers.IntegerField()
    idle_ms = serializers.IntegerField()
    utilisation = serializers.FloatField(allow_null=True)
    cost = MoneyField()
    drill = serializers.SerializerMethodField()

    def get_drill(self, row: DeviceRow) -> str:
        """Where the job rows are that the billed time is made of."""
        return f"/v1/usage?group_by=job&meter={'cpu_ms' if row.device_class == 'cpu' else 'gpu_ms'}"


class DevicesReport(Serializer):
    """The report."""

    since = serializers.DateTimeField()
    until = serializers.DateTimeField()
    data = DeviceRowOut(many=True)  # type: ignore[assignment]


class DevicesView(ApiView):
    """`/v1/ops/reports/devices`."""

    permission = {"GET": "ops.read"}
    content_negotiation_class = AsItComes

    @extend_schema(
        responses=exported(DevicesReport),
        parameters=[
            OpenApiParameter("from", datetime),
            OpenApiParameter("to", datetime),
            OpenApiParameter("format", str, enum=["json", "csv", "xlsx"]),
        ],
    )
    def get(self, request: Request) -> Response | HttpResponse:
        """Utilisation of every device: billed, lost, idle, and its cost."""
        query = self.valid_query(DevicesQuery)
        until = query.get("until") or clock.now()
        if until.year < _FIRST_YEAR:
            raise Invalid(f"No device was watched before {_FIRST_YEAR}.", field="to")
        since = query.get("since") or until - timedelta(days=30)
        rows = device_report(since=since, until=until)
        if query["format"] == "csv":
            return HttpResponse(_csv(rows), content_type="text/csv; charset=utf-8")
        if query["format"] == "xlsx":
            return HttpResponse(workbook.workbook(_table(rows)), content_type=workbook.CONTENT_TYPE)
        return Response(DevicesReport({"since": since, "until": until, "data": rows}).data)


def _table(rows: list[DeviceRow]) -> list[list[object]]:
    heading: list[object] = [*_COLUMNS, "cost_minor", "currency"]
    cells = [[*(getattr(row, column) for column in _COLUMNS), row.cost.amount, row.cost.currency] for row in rows]
    return [heading, *cells]


def _csv(rows: list[DeviceRow]) -> str:
    out = io.StringIO()
    csv.writer(out).writerows(_table(rows))
    return out.getvalue()
