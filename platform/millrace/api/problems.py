"""Every failure leaves as RFC 9457 problem+json with a stable `code`."""

import logging
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db import DataError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.views import defaults
from rest_framework import exceptions
from rest_framework.response import Response

from millrace.kernel.errors import NotFound, Problem

logger = logging.getLogger(__name__)
CONTENT_TYPE = "application/problem+json"
# What DRF refuses by itself: the stable code, and the title that goes with it.
_DRF_PROBLEMS = {
    400: ("malformed", "Malformed request."),
    401: ("unauthenticated", "Log in or send an API key"),
    403: ("forbidden", "Not allowed"),
    404: ("not_found", "There is no such thing"),
    405: ("method_not_allowed", "The address has no such method"),
    406: ("not_acceptable", "The answer cannot be made in such a form"),
    413: ("too_large", "The request is too large"),
    415: ("unsupported_media_type", "The address takes no body of this type"),
    429: ("rate_limited", "Too many requests"),
}


def body(*, status: int, code: str, title: str, detail: str, field: str | None = None, **extra: object) -> dict:
    """The problem's members; `errors` lists every field at fault where there are several."""
    problem: dict[str, object] = {
        "type": "about:blank",
        "title": title,
        "status": status,
        "code": code,
        "detail": detail,
    }
    if field:
        problem["field"] = field
    return problem | extra


def from_problem(problem: Problem) -> dict:
    """A coded failure as its answer's body."""
    return body(
        status=problem.status, code=problem.code, title=problem.title, detail=problem.detail, field=problem.field,
        **problem.extra,
    )  # fmt: skip


def exception_handler(error: Exception, context: dict[str, Any]) -> Response | None:
    """DRF's hook: the answer for an exception, or None for a defect, which then becomes a 500."""
    headers: dict[str, str] = {}
    if isinstance(error, Problem):
        content = from_problem(error)
        if "retry_after" in error.extra:
            headers["Retry-After"] = str(error.extra["retry_after"])
        if error.status == 401:
            headers["WWW-Authenticate"] = 'Bearer realm="api"'
    elif isinstance(error, exceptions.ValidationError):
        errors = list(_flatten(error.detail))
        content = body(
            status=422, code="invalid", title="A value is not acceptable", detail=errors[0]["detail"],
            field=errors[0]["field"] or None, errors=errors,
        )  # fmt: skip
    elif isinstance(error, Http404):
        content = body(status=404, code="not_found", title="There is no such thing", detail="There is no such thing.")
    elif isinstance(error, DataError):
        # A value that a serializer let through and PostgreSQL cannot hold: the caller's to mend, ours to tighten.
        logger.exception("a value reached the database that it cannot store")
        content = body(
            status=422, code="invalid", title="A value is not acceptable",
            detail="A value is outside of what can be stored.",
        )  # fmt: skip
    elif isinstance(error, PermissionDenied):
        content = body(status=403, code="forbidden", title="Not allowed", detail=str(error) or "Not allowed.")
    elif isinstance(error, exceptions.APIException):
        status = error.status_code
        code, title = _DRF_PROBLEMS.get(status, ("problem", Problem.title))
        content = body(status=status, code=code, title=title, detail=str(error.detail))
        if status == 401:
            headers["WWW-Authenticate"] = 'Bearer realm="api"'
        if isinstance(error, exceptions.MethodNotAllowed):
            headers["Allow"] = ", ".join(context["view"].allowed_methods)
    else:
        return None
    return Response(content, status=content["status"], headers=headers, content_type=CONTENT_TYPE)


def json_response(problem: Problem) -> JsonResponse:
    """The same answer outside DRF's views."""
    return JsonResponse(from_problem(problem), status=problem.status, content_type=CONTENT_TYPE)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's 400 hook: what is refused before a view's own checks, such as a host name that is not ours."""
    if not request.path.startswith("/v1/"):
        return defaults.bad_request(request, exception)
    code, title = _DRF_PROBLEMS[400]
    return JsonResponse(
        body(status=400, code=code, title=title, detail="The request is not one that this server takes."),
        status=400, content_type=CONTENT_TYPE,
    )  # fmt: skip


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's 404 hook: a problem for the API's addresses, a page for the rest."""
    if not request.path.startswith("/v1/"):
        return defaults.page_not_found(request, exception)
    return json_response(NotFound("There is no such address."))


def server_error(request: HttpRequest) -> HttpResponse:
    """Django's 500 hook; the API's answer says nothing of what broke: the log does."""
    if not request.path.startswith("/v1/"):
        return defaults.server_error(request)
    return JsonResponse(
        body(status=500, code="internal_error", title="Something broke on our side",
             detail="It has been recorded. Repeating the request with the same Idempotency-Key is safe."),
        status=500, content_type=CONTENT_TYPE,
    )  # fmt: skip


def _flatten(detail: Any, path: str = "") -> Any:
    if isinstance(detail, dict):
        for key, value in detail.items():
            if isinstance(key, int):  # DRF names the faulty places of a list so
                yield from _flatten(value, f"{path}[{key}]")
                continue
            part = "" if key == "non_field_errors" else str(key)
            yield from _flatten(value, ".".join(filter(None, (path, part))))
    elif isinstance(detail, list):
        for index, value in enumerate(detail):
            nested = isinstance(value, dict | list)
            yield from _flatten(value, f"{path}[{index}]" if nested else path)
    else:
        yield {"field": path, "code": getattr(detail, "code", "invalid"), "detail": str(detail)}
