"""Customers' answers to surveys (permission `feedback`)."""

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from channels_partners.api import serializers as shapes
from channels_partners.models import SurveyKind
from channels_partners.services.surveys import survey_answer
from millrace.api.views import ApiView


class Csat(ApiView):
    """How satisfied are you?"""

    permission = {"POST": "feedback"}

    @extend_schema(
        request=shapes.SurveyRequestSerializer, responses={201: shapes.SurveySerializer}, summary="Rate from 1 to 5"
    )
    def post(self, request: Request) -> Response:
        """One answer a person and month, final once given (409 `already_answered`)."""
        wanted = self.valid(shapes.SurveyRequestSerializer)
        answer = survey_answer(tenant_id=self.caller.tenant_id, kind=SurveyKind.CSAT, actor=self.caller.actor, **wanted)
        return Response(shapes.SurveySerializer(answer).data, status=201)


class Nps(ApiView):
    """Would you recommend us?"""

    permission = {"POST": "feedback"}

    @extend_schema(
        request=shapes.NpsRequestSerializer, responses={201: shapes.SurveySerializer}, summary="Rate from 0 to 10"
    )
    def post(self, request: Request) -> Response:
        """One answer a person and month, final once given (409 `already_answered`)."""
        wanted = self.valid(shapes.NpsRequestSerializer)
        answer = survey_answer(tenant_id=self.caller.tenant_id, kind=SurveyKind.NPS, actor=self.caller.actor, **wanted)
        return Response(shapes.SurveySerializer(answer).data, status=201)
