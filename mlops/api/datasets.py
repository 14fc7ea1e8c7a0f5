"""Doors of the data sets."""

from typing import Any

from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from millrace.api.fields import Serializer, TypeIdField
from millrace.api.parsers import StrictJSONParser
from millrace.api.schema import paged
from millrace.api.views import ApiView
from millrace.kernel import storage
from millrace.kernel.errors import Invalid, NotFound
from millrace.kernel.ids import typeid
from mlops import selectors
from mlops.api.negotiation import AsItComes
from mlops.api.uploads import UploadParser
from mlops.datasets import BUILTINS, LAYOUTS
from mlops.datasets.canonical import read_row
from mlops.datasets.pictures import encode_picture
from mlops.models import Dataset, DatasetVersion
from mlops.services.corrections import dataset_correct
from mlops.services.datasets import dataset_builtin, dataset_upload, known_formats

_LARGEST_SIDE = 1024


class DatasetVersionOut(Serializer):
    """An immutable version."""

    id = TypeIdField("dsv", source="pk")
    dataset = TypeIdField("ds", source="dataset_id")
    number = serializers.IntegerField()
    content_hash = serializers.CharField()
    rows = serializers.IntegerField()
    shape = serializers.JSONField()
    source = serializers.CharField()  # type: ignore[assignment]
    licence = serializers.CharField()
    created_by = serializers.CharField()
    created_at = serializers.DateTimeField()


class DatasetOut(Serializer):
    """A data set with its latest version."""

    id = TypeIdField("ds", source="pk")
    name = serializers.CharField()
    created_at = serializers.DateTimeField()
    versions = serializers.SerializerMethodField()
    latest = serializers.SerializerMethodField()

    def get_versions(self, dataset: Dataset) -> int:
        """How many there are."""
        return len(dataset.versions.all())

    @extend_schema(responses=DatasetVersionOut)
    def get_latest(self, dataset: Dataset) -> dict | None:
        """The newest version."""
        newest = max(dataset.versions.all(), key=lambda version: version.number, default=None)
        return DatasetVersionOut(newest).data if newest else None


class DatasetUploaded(DatasetVersionOut):
    """The answer to an upload: the version, whether it is new, and what a careful person would want to know."""

    name = serializers.CharField(source="dataset.name")
    statistics = serializers.JSONField()
    report = serializers.JSONField()
    new = serializers.SerializerMethodField()

    def get_new(self, version: DatasetVersion) -> bool:
        """Whether this request made the version; the same content again is the version it already was."""
        return self.context["new"]


class DatasetReport(Serializer):
    """Validation, cleaning and label report of a version; a stored version has no row problems left."""

    version = TypeIdField("dsv", source="pk")
    statistics = serializers.JSONField()
    report = serializers.JSONField()
    problems = serializers.SerializerMethodField()

    def get_problems(self, version: DatasetVersion) -> list[dict]:
        """Uploads with faulty rows are refused whole, with the rows named in the refusal."""
        return []


class BuiltinIn(Serializer):
    """A data set that is installed here, or one made of a model's corrected predictions."""

    builtin = serializers.ChoiceField(choices=sorted(BUILTINS), required=False)
    corrections_of = TypeIdField("mdl", required=False)
    name = serializers.CharField(max_length=120, required=False)

    def validate(self, attrs: dict) -> dict:
        """Exactly one source."""
        if len({"builtin", "corrections_of"} & set(attrs)) != 1:
            raise serializers.ValidationError("Name one of builtin and corrections_of.")
        return attrs


class UploadIn(Serializer):
    """The form of an upload."""

    file = serializers.FileField(allow_empty_file=True)
    name = serializers.CharField(max_length=120)
    format = serializers.ChoiceField(choices=known_formats())
    layout = serializers.ChoiceField(choices=LAYOUTS, required=False, default="auto")


class DatasetsView(ApiView):
    """`/v1/datasets`."""

    permission = {"GET": "data.read", "POST": "data.write"}
    parser_classes = [StrictJSONParser, UploadParser]
    holds_transaction = False

    @paged(DatasetOut)
    def get(self, request: Request) -> Response:
        """The tenant's data sets."""
        return self.page(selectors.datasets(self.caller.tenant_id), DatasetOut)

    @extend_schema(
        request={"multipart/form-data": UploadIn, "application/json": BuiltinIn}, responses={201: DatasetUploaded}
    )
    def post(self, request: Request) -> Response:
        """Upload a file, take a built-in data set, or gather a model's corrections."""
        if hasattr(request.data, "lists"):
            version, new = self._upload()
        else:
            version, new = self._without_file()
        return Response(DatasetUploaded(version, context={"new": new}).data, status=201)

    def _upload(self) -> tuple[DatasetVersion, bool]:
        form = self.valid(UploadIn)
        return dataset_upload(
            tenant_id=self.caller.tenant_id,
            name=form["name"],
            source=form["file"].file,
            format=form["format"],
            layout=form["layout"],
            actor=self.caller.actor,
        )

    def _without_file(self) -> tuple[DatasetVersion, bool]:
        body = self.valid(BuiltinIn)
        common: dict[str, Any] = {"tenant_id": self.caller.tenant_id, "actor": self.caller.actor}
        if "corrections_of" in body:
            model = selectors.model(self.caller.tenant_id, typeid("mdl", body["corrections_of"]))
            return dataset_correct(model=model, name=body.get("name", ""), **common)
        return dataset_builtin(builtin=body["builtin"], name=body.get("name", ""), **common)


class DatasetView(ApiView):
    """`/v1/datasets/{id}`."""

    permission = {"GET": "data.read"}

    @extend_schema(responses=DatasetOut)
    def get(self, request: Request, dataset_id: str) -> Response:
        """One data set."""
        return Response(DatasetOut(selectors.dataset(self.caller.tenant_id, dataset_id)).data)


class DatasetVersionsView(ApiView):
    """`/v1/datasets/{id}/versions`."""

    permission = {"GET": "data.read"}

    @paged(DatasetVersionOut)
    def get(self, request: Request, dataset_id: str) -> Response:
        """The versions, newest first."""
        dataset = selectors.dataset(self.caller.tenant_id, dataset_id)
        return self.page(selectors.dataset_versions(self.caller.tenant_id, dataset.pk), DatasetVersionOut)


class DatasetVersionView(ApiView):
    """`/v1/datasets/{id}/versions/{v}`."""

    permission = {"GET": "data.read"}

    @extend_schema(responses=DatasetVersionOut)
    def get(self, request: Request, dataset_id: str, number: str) -> Response:
        """One version."""
        return Response(DatasetVersionOut(selectors.dataset_version(self.caller.tenant_id, dataset_id, number)).data)


class DatasetReportView(ApiView):
    """`/v1/datasets/{id}/versions/{v}/report`."""

    permission = {"GET": "data.read"}

    @extend_schema(responses=DatasetReport)
    def get(self, request: Request, dataset_id: str, number: str) -> Response:
        """Statistics, duplicates, contradictions, balance."""
        return Response(DatasetReport(selectors.dataset_version(self.caller.tenant_id, dataset_id, number)).data)


class DatasetSampleView(ApiView):
    """`/v1/datasets/{id}/versions/{v}/samples/{row}`."""

    permission = {"GET": "data.read"}
    content_negotiation_class = AsItComes

    @extend_schema(
        responses={(200, "image/png"): OpenApiTypes.BINARY},
        parameters=[OpenApiParameter("side", int, description="Enlarge to this many pixels.")],
    )
    def get(self, request: Request, dataset_id: str, number: str, row: str) -> HttpResponse:
        """An example as a picture."""
        version = selectors.dataset_version(self.caller.tenant_id, dataset_id, number)
        side = request.query_params.get("side", "")
        if side and not (side.isascii() and side.isdigit() and 1 <= int(side[:9]) <= _LARGEST_SIDE):
            raise Invalid(f"side is a whole number from 1 to {_LARGEST_SIDE}.", field="side")
        if version.shape["layout"] != "images":
            raise Invalid("The version holds no pictures: a row of features is none.")
        try:
            with storage.open_blob(version.storage_key) as blob:
                pixels = read_row(blob, "inputs", selectors.whole(row))
        except IndexError as beyond:
            raise NotFound(f"The version has {version.rows} rows.") from beyond
        picture = encode_picture(pixels, side=int(side) if side else None)
        answer = HttpResponse(picture, content_type="image/png")
        answer["Cache-Control"] = "private, max-age=86400, immutable"
        return answer
