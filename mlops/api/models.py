"""Doors of the registry: models, versions, cards, weights, promotion; and what users say of predictions."""

from django.http import FileResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from millrace.api.fields import MoneyField, Serializer, TypeIdField
from millrace.api.schema import paged
from millrace.api.views import ApiView
from millrace.kernel import ids, storage
from millrace.kernel.errors import Invalid, NotFound
from millrace.kernel.money import Money
from mlops import selectors
from mlops.api.negotiation import AsItComes
from mlops.errors import ModelWithoutChampion
from mlops.models import Model, ModelVersion
from mlops.services.corrections import feedback_give
from mlops.services.registry import model_promote


class ModelVersionOut(Serializer):
    """An immutable version and everything it came from."""

    id = TypeIdField("mv", source="pk")
    model = TypeIdField("mdl", source="model_id")
    number = serializers.IntegerField()
    champion = serializers.SerializerMethodField()
    recipe = serializers.CharField()
    recipe_version = serializers.IntegerField()
    params = serializers.JSONField()
    shape = serializers.JSONField()
    metrics = serializers.JSONField()
    primary_metric = serializers.CharField()
    job = TypeIdField("job", source="job_id")
    dataset_version = TypeIdField("dsv", source="dataset_version_id")
    dataset_hash = serializers.CharField()
    code_version = serializers.CharField()
    weights_sha256 = serializers.CharField(source="weights_hash")
    weights_bytes = serializers.IntegerField(source="weights_size")
    device_ms = serializers.IntegerField()
    cost = serializers.SerializerMethodField()
    created_at = serializers.DateTimeField()

    def get_champion(self, version: ModelVersion) -> bool:
        """Whether it answers predictions."""
        return version.model.champion_id == version.pk

    @extend_schema(responses=MoneyField)
    def get_cost(self, version: ModelVersion) -> dict:
        """What its training cost at the price of that day."""
        return Money(version.cost_amount, version.cost_currency).as_json()


class ModelOut(Serializer):
    """A model and the version that answers."""

    id = TypeIdField("mdl", source="pk")
    name = serializers.CharField()
    recipe = serializers.CharField()
    champion = serializers.SerializerMethodField()
    created_at = serializers.DateTimeField()

    def get_champion(self, model: Model) -> dict | None:
        """Number and main figure of the champion."""
        best = model.champion
        if best is None:
            return None
        metric = best.primary_metric
        return {"version": best.number, "metric": metric, "value": best.metrics.get(metric)}


class PromoteIn(Serializer):
    """Which version shall answer."""

    version = serializers.IntegerField(min_value=1, max_value=10**9)


class CardOut(Serializer):
    """The model card in Markdown."""

    version = serializers.IntegerField(source="number")
    markdown = serializers.CharField(source="card")


class FeedbackIn(Serializer):
    """The user's verdict on one output (`item`, from 0)."""

    correct = serializers.BooleanField()
    label = serializers.CharField(max_length=200, required=False, default="", allow_blank=True)  # type: ignore[assignment]
    rating = serializers.IntegerField(min_value=1, max_value=5, required=False, default=None, allow_null=True)
    item = serializers.IntegerField(min_value=0, max_value=100_000, required=False, default=0)


class FeedbackOut(Serializer):
    """As it was kept."""

    id = TypeIdField("fbk", source="pk")
    prediction = TypeIdField("prd", source="prediction_id")
    item = serializers.IntegerField()
    correct = serializers.BooleanField()
    label = serializers.CharField()  # type: ignore[assignment]
    rating = serializers.IntegerField(allow_null=True)
    created_at = serializers.DateTimeField()


_VERSION = [OpenApiParameter("version", int, description="A version; the champion where none is named.")]


class ModelsView(ApiView):
    """`/v1/models`."""

    permission = {"GET": "models.read"}

    @paged(ModelOut)
    def get(self, request: Request) -> Response:
        """The tenant's models."""
        return self.page(selectors.models(self.caller.tenant_id), ModelOut)


class ModelView(ApiView):
    """`/v1/models/{id}`."""

    permission = {"GET": "models.read"}

    @extend_schema(responses=ModelOut)
    def get(self, request: Request, model_id: str) -> Response:
        """One model."""
        return Response(ModelOut(selectors.model(self.caller.tenant_id, model_id)).data)


class ModelVersionsView(ApiView):
    """`/v1/models/{id}/versions`."""

    permission = {"GET": "models.read"}

    @paged(ModelVersionOut)
    def get(self, request: Request, model_id: str) -> Response:
        """Champion and challengers, newest first."""
        model = selectors.model(self.caller.tenant_id, model_id)
        return self.page(selectors.model_versions(self.caller.tenant_id, model.pk), ModelVersionOut)


class ModelVersionView(ApiView):
    """`/v1/models/{id}/versions/{n}`."""

    permission = {"GET": "models.read"}

    @extend_schema(responses=ModelVersionOut)
    def get(self, request: Request, model_id: str, number: str) -> Response:
        """One version."""
        return Response(ModelVersionOut(selectors.model_version(self.caller.tenant_id, model_id, number)).data)


class ModelPromoteView(ApiView):
    """`/v1/models/{id}/promote`."""

    permission = {"POST": "models.write"}

    @extend_schema(request=PromoteIn, responses=ModelOut)
    def post(self, request: Request, model_id: str) -> Response:
        """Let a challenger answer from now on."""
        model = selectors.model(self.caller.tenant_id, model_id)
        number = self.valid(PromoteIn)["version"]
        try:
            version = selectors.model_version(self.caller.tenant_id, model_id, str(number))
        except NotFound as missing:
            raise Invalid(missing.detail, field="version") from missing
        model_promote(model=model, version=version, actor=self.caller.actor)
        return Response(ModelOut(selectors.model(self.caller.tenant_id, model_id)).data)


class ModelCardView(ApiView):
    """`/v1/models/{id}/card`."""

    permission = {"GET": "models.read"}

    @extend_schema(responses=CardOut, parameters=_VERSION)
    def get(self, request: Request, model_id: str) -> Response:
        """What the model is, and is not, for."""
        return Response(CardOut(_version(self, model_id)).data)


class ModelDownloadView(ApiView):
    """`/v1/models/{id}/download`."""

    permission = {"GET": "models.read"}
    content_negotiation_class = AsItComes

    @extend_schema(responses={(200, "application/octet-stream"): OpenApiTypes.BINARY}, parameters=_VERSION)
    def get(self, request: Request, model_id: str) -> FileResponse:
        """The weights as safetensors; they carry recipe, parameters and class names in their header."""
        version = _version(self, model_id)
        answer = FileResponse(
            storage.open_blob(version.weights_key),
            content_type="application/octet-stream",
            as_attachment=True,
            filename=f"{model_id}-{version.number}.safetensors",
        )
        answer["ETag"] = f'"{version.weights_hash}"'
        return answer


class FeedbackView(ApiView):
    """`/v1/predictions/{id}/feedback`."""

    permission = {"POST": "feedback"}

    @extend_schema(request=FeedbackIn, responses={201: FeedbackOut})
    def post(self, request: Request, prediction_id: str) -> Response:
        """Say whether a prediction was right; it becomes data."""
        prediction = selectors.prediction(self.caller.tenant_id, prediction_id)
        feedback = feedback_give(prediction=prediction, actor=self.caller.actor, **self.valid(FeedbackIn))
        return Response(FeedbackOut(feedback).data, status=201)


def _version(view: ApiView, model_id: str) -> ModelVersion:
    """The version that the query names, or the champion."""
    number = view.request.query_params.get("version", "")
    if number:
        return selectors.model_version(view.caller.tenant_id, model_id, number)
    model = selectors.model(view.caller.tenant_id, model_id)
    if model.champion is None:
        raise ModelWithoutChampion(f"{ids.typeid('mdl', model.pk)} has no version yet.")
    return model.champion
