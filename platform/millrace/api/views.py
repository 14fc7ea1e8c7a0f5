"""The base of every API view: authenticate, enter the tenant's scope, check the permission, answer once."""

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, cast

from django.db.models import QuerySet
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer
from rest_framework.views import APIView

from millrace.api import idempotency, pagination
from millrace.api.caller import Caller
from millrace.kernel.errors import NotFound, Problem
from millrace.kernel.tenancy import no_scope, tenant_scope


class ApiView(APIView):
    """A door of the API. Subclasses set `permission` per method and write `get`, `post`, … as thin calls."""

    # OPTIONS and TRACE answer 405, and no Allow field offers them: the OpenAPI document describes the doors.
    http_method_names = ["get", "head", "post", "put", "patch", "delete"]
    # {"GET": "jobs.read", "POST": "jobs.write"}; see millrace.api.permissions for the special ones.
    permission: dict[str, str] = {}
    # Methods that take an Idempotency-Key.
    idempotent: frozenset[str] = frozenset({"POST"})
    # False where the handler talks to another service: no transaction is held open meanwhile.
    holds_transaction = True
    # Members of an answer that no replay may show again, such as an API key's secret.
    shown_once: frozenset[str] = frozenset()

    @property
    def caller(self) -> Caller:
        """Who calls."""
        return cast(Caller, self.request.auth)

    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        """DRF's dispatch within a fresh scope: nothing leaks in from, or out to, another request (T3)."""
        with ExitStack() as self.scope:
            self.scope.enter_context(no_scope())
            return super().dispatch(request, *args, **kwargs)

    def perform_authentication(self, request: Request) -> None:
        """Identify the caller, then see with its tenant's eyes only."""
        super().perform_authentication(request)
        if isinstance(request.auth, Caller) and request.auth.has_tenant:
            self.scope.enter_context(tenant_scope(request.auth.tenant_id))

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """DRF's checks, the rate limit first, so that refused requests count too; then wrap the handler of a keyed
        request so that it answers once."""
        self.format_kwarg = self.get_format_suffix(**kwargs)
        request.accepted_renderer, request.accepted_media_type = self.perform_content_negotiation(request)
        request.version, request.versioning_scheme = self.determine_version(request, *args, **kwargs)
        if "\0" in request.path:
            raise NotFound()
        try:
            self.perform_authentication(request)
        except Problem:
            request.auth = None
            self.check_throttles(request)
            raise
        self.check_throttles(request)
        self.check_permissions(request)
        method = (request.method or "").lower()
        keyed = request.method in self.idempotent and idempotency.key_of(request)
        if keyed and hasattr(self, method) and isinstance(request.auth, Caller):
            setattr(self, method, self._once(request, getattr(self, method)))

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        """Add the rate limit's fields."""
        response = super().finalize_response(request, response, *args, **kwargs)
        if limits := getattr(self, "rate_limit", None):
            limit, remaining, reset = limits
            response["RateLimit-Limit"] = str(limit)
            response["RateLimit-Remaining"] = str(remaining)
            response["RateLimit-Reset"] = str(reset)
        return response

    def valid(self, serializer: type[BaseSerializer], **kwargs: Any) -> dict:
        """The body's values as the serializer accepts them; 422 with the fields at fault otherwise."""
        bound = serializer(data=self.request.data, **kwargs)
        bound.is_valid(raise_exception=True)
        return bound.validated_data

    def valid_query(self, serializer: type[BaseSerializer]) -> dict:
        """The same for the query string."""
        bound = serializer(data=self.request.query_params)
        bound.is_valid(raise_exception=True)
        return bound.validated_data

    def page(self, rows: QuerySet, serializer: Callable[[Any], BaseSerializer]) -> Response:
        """One page of rows, newest first."""
        return Response(pagination.page(self.request, rows, lambda row: serializer(row).data))

    def _once(self, request: Request, handler: Callable[..., Response]) -> Callable[..., Response]:
        def answer(*args: Any, **kwargs: Any) -> Response:
            return idempotency.run(
                request,
                self.caller,
                lambda: handler(*args, **kwargs),
                holds_transaction=self.holds_transaction,
                shown_once=self.shown_once,
            )

        return answer
