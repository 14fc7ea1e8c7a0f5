"""Doors of online prediction. The fast one stands in front of Django (mlops.serving.asgi) and answers the same."""

from typing import cast

from asgiref.sync import async_to_sync
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from millrace.api.fields import Serializer, TypeIdField
from millrace.api.throttling import StrangerThrottle
from millrace.api.views import ApiView
from millrace.kernel import ids, valkey
from millrace.kernel.errors import NotFound
from mlops import selectors
from mlops.errors import ServingBusy
from mlops.models import Prediction
from mlops.serving.door import body_of, predict
from mlops.serving.messages import pending_key


class PredictIn(Serializer):
    """Inputs of the model's shape: nested or flat lists, or `{"png": "<base64>"}` for pictures; 1 to 256."""

    inputs = serializers.ListField(child=serializers.JSONField(), min_length=1, max_length=256)


class PredictOut(Serializer):
    """The outputs, in the order of the inputs: the likeliest label, its probability, and the likeliest few."""

    id = TypeIdField("prd")
    state = serializers.CharField()
    model = TypeIdField("mdl", required=False)
    version = serializers.IntegerField(required=False)
    outputs = serializers.JSONField(required=False)
    device_ms = serializers.IntegerField(required=False)


class PredictView(ApiView):
    """`/v1/models/{id}/predict`."""

    permission = {"POST": "predict"}
    # Predictions are stored under the key themselves: it works in front of Django, too.
    idempotent = frozenset()
    # The queueing script counts the caller's request in the same window.
    throttle_classes = [StrangerThrottle]

    @extend_schema(
        request=PredictIn,
        responses={200: PredictOut, 202: PredictOut},
        parameters=[
            OpenApiParameter("Prefer", str, OpenApiParameter.HEADER, description="respond-async answers 202 at once."),
            OpenApiParameter("Idempotency-Key", str, OpenApiParameter.HEADER, description="Makes it safe to repeat."),
        ],
    )
    def post(self, request: Request, model_id: str) -> Response:
        """Predict with the model's champion."""
        selectors.model(self.caller.tenant_id, model_id)  # a stranger meets 404 before anything else
        answer = async_to_sync(predict)(
            tenant_id=self.caller.tenant_id,
            throttle_key=self.caller.throttle_key,
            model_id=model_id,
            inputs=self.valid(PredictIn)["inputs"],
            idempotency_key=request.headers.get("Idempotency-Key", ""),
            respond_async="respond-async" in request.headers.get("Prefer", ""),
        )
        return Response(answer.body, status=answer.status, headers=answer.headers)


class PredictionView(ApiView):
    """`/v1/predictions/{id}`."""

    permission = {"GET": "predict"}

    @extend_schema(responses={200: PredictOut, 202: PredictOut})
    def get(self, request: Request, prediction_id: str) -> Response:
        """A prediction; 202 while it is on its way."""
        key, tenant_id = ids.parse(Prediction.PREFIX, prediction_id), self.caller.tenant_id
        # The note is read first: it is removed only after the prediction was stored.
        note = cast(bytes, valkey.client().get(pending_key(key)) or b"").decode()
        found = Prediction.objects.select_related("model_version").filter(tenant_id=tenant_id, pk=key).first()
        if found is not None:
            return Response(body_of(found))
        owner, _, failure = note.partition(" ")
        if owner != str(tenant_id):
            raise NotFound(f"There is no prediction {prediction_id[:64]!r}.")
        if failure:
            raise ServingBusy(failure)
        return Response({"id": prediction_id, "state": "pending"}, status=202)
