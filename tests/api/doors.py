"""Doors that exist in tests only, to try the API's base on: what they do is chosen by the test."""

from collections.abc import Callable
from typing import Any

from django.urls import include, path
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import Membership
from accounts.services.tenants import tenant_rename
from millrace.api.fields import MoneyField, Serializer, TypeIdField
from millrace.api.views import ApiView
from millrace.kernel.tenancy import current_scope

handler400 = "millrace.api.problems.bad_request"
handler404 = "millrace.api.problems.page_not_found"
handler500 = "millrace.api.problems.server_error"


class ThingSerializer(Serializer):
    """One of every kind of field."""

    name = serializers.CharField(max_length=20)
    price = MoneyField(required=False)
    job = TypeIdField("job", required=False)


class Act(ApiView):
    """POST runs the test's own function."""

    permission = {"GET": "tenant.read", "POST": "tenant.write"}
    act: Callable[["Act"], Response] = lambda self: Response({"echo": self.request.data}, status=201)

    @extend_schema(exclude=True)
    def get(self, request: Request) -> Response:
        scope = current_scope()
        return Response({"scope": str(scope.tenant_id) if scope else None})

    @extend_schema(exclude=True)
    def post(self, request: Request, rest: str = "") -> Response:
        return type(self).act(self)


class Outward(Act):
    """The same for a handler that talks to other services."""

    holds_transaction = False


class Thing(ApiView):
    """Validates a body."""

    permission = {"POST": "tenant.write"}

    @extend_schema(exclude=True)
    def post(self, request: Request) -> Response:
        wanted = self.valid(ThingSerializer)
        return Response({"name": wanted["name"]}, status=201)


class Forgotten(ApiView):
    """Has a method that names no permission."""

    permission = {"GET": "tenant.read"}

    @extend_schema(exclude=True)
    def get(self, request: Request) -> Response:
        return Response({})

    @extend_schema(exclude=True)
    def put(self, request: Request) -> Response:
        tenant_rename(tenant=self.caller.tenant, name="done", actor=self.caller.actor)
        return Response({})


class Public(ApiView):
    """Needs nobody."""

    permission = {"GET": "public"}

    @extend_schema(exclude=True)
    def get(self, request: Request) -> Response:
        return Response({"scope": str(current_scope())})


class Rows(ApiView):
    """A list."""

    permission = {"GET": "tenant.read"}

    @extend_schema(exclude=True)
    def get(self, request: Request) -> Response:
        return self.page(Membership.objects.filter(tenant_id=self.caller.tenant_id), MemberIdSerializer)


class MemberIdSerializer(Serializer):
    """An id alone."""

    id: Any = TypeIdField("mem", source="pk")


urlpatterns = [
    path("v1/test/act", Act.as_view()),
    path("v1/test/act/<path:rest>", Act.as_view()),
    path("v1/test/outward", Outward.as_view()),
    path("v1/test/thing", Thing.as_view()),
    path("v1/test/forgotten", Forgotten.as_view()),
    path("v1/test/public", Public.as_view()),
    path("v1/test/rows", Rows.as_view()),
    path("", include("millrace.urls")),
]
