"""OpenAPI 3.1 from the views themselves, with the problems that every door may answer."""

from collections.abc import Callable, Hashable
from typing import Any, cast

from drf_spectacular.openapi import AutoSchema
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, inline_serializer
from rest_framework import serializers

from millrace.api import workbook
from millrace.api.permissions import PUBLIC

_PROBLEM = {
    "type": "object",
    "description": "RFC 9457 problem details.",
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string", "description": "Stable: programs may branch on it."},
        "detail": {"type": "string", "description": "For a person."},
        "field": {"type": "string", "description": "The field at fault."},
        "errors": {"type": "array", "items": {"type": "object"}},
    },
    "required": ["type", "title", "status", "code", "detail"],
}
_STATUSES = {"400": "Malformed", "401": "Not authenticated", "402": "Payment required", "403": "Not allowed",
             "404": "No such thing", "405": "No such method", "406": "Not acceptable", "409": "Conflict",
             "413": "Too large", "415": "Unsupported media type", "422": "Invalid value", "429": "Rate limited",
             "502": "A service that it needs did not carry it out",
             "503": "Unavailable for a moment"}  # fmt: skip
_PAGING = [
    OpenApiParameter("cursor", str, description="`next_cursor` of the page before."),
    OpenApiParameter(
        "limit", {"type": "integer", "minimum": 1, "maximum": 200, "default": 50}, description="Rows a page."
    ),
]


def exported(as_json: Any) -> dict[tuple[int, str], Any]:
    """The responses of a door whose table is also to be had as CSV and as a workbook."""
    return {
        (200, "application/json"): as_json,
        (200, "text/csv"): OpenApiTypes.STR,
        (200, workbook.CONTENT_TYPE): OpenApiTypes.BINARY,
    }


def paged(row: type[serializers.BaseSerializer], **kwargs: Any) -> Callable:
    """`extend_schema` for a list door that answers with `self.page(rows, row)`."""
    parameters = [*_PAGING, *kwargs.pop("parameters", [])]
    return extend_schema(parameters=parameters, responses={200: _page_of(cast(Hashable, row))}, **kwargs)


_pages: dict[str, Any] = {}


def _page_of(row: Any) -> Any:
    """The page of a row's kind: one component of the schema, however many doors list it."""
    name = f"{row.__name__.removesuffix('Serializer')}Page"
    if name not in _pages:
        fields = {
            "data": row(many=True),
            "next_cursor": serializers.CharField(allow_null=True, help_text="Null on the last page."),
        }
        _pages[name] = inline_serializer(name, fields)
    return _pages[name]


class Schema(AutoSchema):
    """drf-spectacular's, plus the Idempotency-Key header and tags by room."""

    def get_override_parameters(self) -> list:
        """The header of every keyed method."""
        if self.method in getattr(self.view, "idempotent", ()) and self.method != "GET":
            return [
                OpenApiParameter(
                    "Idempotency-Key", str, OpenApiParameter.HEADER,
                    description="Makes the request safe to repeat: the first answer is the answer to all repetitions.",
                )
            ]  # fmt: skip
        return []

    def get_tags(self) -> list[str]:
        """The first part of the path behind /v1/."""
        parts = [part for part in self.path.split("/") if part and not part.startswith("{")]
        return [parts[1]] if len(parts) > 1 else parts

    def get_summary(self) -> str:
        """The view's own, or the first sentence of what its method says of itself."""
        first = (self.get_description() or "").strip().split("\n\n")[0].split(". ")[0].split("; ")[0]
        return super().get_summary() or " ".join(first.split()).rstrip(".")

    def get_operation_id(self) -> str:
        """Method and path in words: unique by construction."""
        words = self.path.replace("/v1/", "").replace("{", "").replace("}", "").replace("-", "_").strip("/")
        return f"{(self.method or 'get').lower()}_{words.replace('/', '_') or 'root'}"

    def get_auth(self) -> list[dict]:
        """Public doors need no credentials."""
        if getattr(self.view, "permission", {}).get(self.method) == PUBLIC:
            return []
        return [{"apiKey": []}, {"session": []}]


def add_problem_responses(result: dict, generator: Any, request: Any, public: bool) -> dict:
    """Post-processing hook: every operation may answer problems, in one shape."""
    components = result.setdefault("components", {})
    components.setdefault("schemas", {})["Problem"] = _PROBLEM
    components.setdefault("securitySchemes", {}).update(
        {
            "apiKey": {"type": "http", "scheme": "bearer", "description": "An API key: mr_<env>_<prefix>_<secret>."},
            "session": {"type": "apiKey", "in": "cookie", "name": "sessionid"},
        }
    )
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    for path in result.get("paths", {}).values():
        for operation in path.values():
            for status, description in _STATUSES.items():
                operation["responses"].setdefault(status, {"description": description, "content": content})
    return result
