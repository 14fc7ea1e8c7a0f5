"""The OpenAPI document is valid, complete, and read without any third party."""

import json
import re
from typing import Any

import pytest
from django.contrib.staticfiles import finders
from django.http import HttpResponse
from django.test import Client
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.validation import validate_schema

from tests.guards.permission_table import addresses
from tests.openapi_truth import faults

METHODS = {"get", "post", "put", "patch", "delete"}


@pytest.fixture(autouse=True)
def _product_only(settings, _doors: None) -> None:
    settings.ROOT_URLCONF = "millrace.urls"


@pytest.fixture
def document(db: None) -> dict:
    answer = Client().get("/v1/openapi.json")
    assert answer.status_code == 200
    return answer.json()


def operations(document: dict) -> list[tuple[str, str, dict]]:
    return [
        (method, path, operation)
        for path, found in document["paths"].items()
        for method, operation in found.items()
        if method in METHODS
    ]


def test_it_is_valid_openapi_3_1(document: dict) -> None:
    assert document["openapi"].startswith("3.1")
    validate_schema(document)


def test_making_it_leaves_nothing_to_guess(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    complaints: list[str] = []
    monkeypatch.setattr("drf_spectacular.drainage.GENERATOR_STATS.emit", lambda msg, severity: complaints.append(msg))

    SchemaGenerator().get_schema(request=None, public=True)

    assert not complaints, "\n".join(complaints)


def test_every_door_stands_in_it_and_nothing_else(document: dict) -> None:
    described = {(method.upper(), path) for method, path, _ in operations(document)}
    served = {(one.method, one.path) for one in addresses() if one.path.startswith("/v1/") and one.permission}

    assert described == served


def test_every_operation_says_what_it_is(document: dict) -> None:
    silent = [
        f"{method} {path}"
        for method, path, operation in operations(document)
        if not (operation.get("summary") and operation.get("description") and operation.get("tags"))
    ]

    assert not silent, silent


def test_operation_ids_are_unique(document: dict) -> None:
    ids = [operation["operationId"] for _, _, operation in operations(document)]

    assert sorted(ids) == sorted(set(ids))


def test_every_reference_leads_somewhere(document: dict) -> None:
    schemas = document["components"]["schemas"]

    assert {name.rpartition("/")[2] for name in _references(document)} <= set(schemas)


def test_every_operation_may_answer_problems_in_their_one_shape(document: dict) -> None:
    for _, path, operation in operations(document):
        for status in ("401", "403", "404", "405", "422", "429"):
            answer = operation["responses"][status]["content"]["application/problem+json"]
            assert answer["schema"] == {"$ref": "#/components/schemas/Problem"}, path


def test_keyed_posts_name_their_header_and_lists_their_paging(document: dict) -> None:
    invite = document["paths"]["/v1/invitations"]

    assert "Idempotency-Key" in [one["name"] for one in invite["post"]["parameters"]]
    assert {"cursor", "limit"} <= {one["name"] for one in invite["get"]["parameters"]}


def test_doors_for_everybody_ask_for_no_credentials_and_all_others_do(document: dict) -> None:
    permission = {(one.method, one.path): one.permission for one in addresses()}

    for method, path, operation in operations(document):
        wanted = [] if permission[method.upper(), path] == "public" else [{"apiKey": []}, {"session": []}]
        assert operation.get("security", []) == wanted, path


def test_every_success_is_described(document: dict) -> None:
    for method, path, operation in operations(document):
        assert any(status.startswith("2") for status in operation["responses"]), f"{method} {path}"


def test_an_answer_that_the_document_does_not_tell_of_is_noticed() -> None:
    def told(status: int, body: object, kind: str = "application/json") -> str:
        answer = HttpResponse(json.dumps(body), status=status, content_type=kind)
        return "; ".join(faults("GET", "/v1/members", answer))

    assert told(200, {"data": [], "next_cursor": None}) == ""
    assert "'next_cursor' is a required property" in told(200, {"data": []})
    assert "may not answer 418" in told(418, {})
    assert "as 'text/html'" in told(200, {}, "text/html")
    assert "'code' is a required property" in told(404, {"title": "x"}, "application/problem+json")


def test_the_documentation_page_needs_nobody_elses_host(db: None) -> None:
    answer = Client().get("/docs")
    page = answer.content.decode()

    assert "/v1/openapi.json" in Client().get("/docs?script=").content.decode()
    assert "script-src 'self';" in answer["Content-Security-Policy"]
    hosts = re.findall(r"(?:src|href|url|import)\s*[=(:]\s*[\"']?(?:https?:)?//([^/\"']+)", page)
    assert hosts == []
    assets = re.findall(r"(?:src|href)=\"/static/([^\"?]+)", page)
    assert any("swagger-ui-bundle.js" in asset for asset in assets)
    assert all(finders.find(asset) for asset in assets)


def _references(node: Any) -> set[str]:
    if isinstance(node, dict):
        own = {node["$ref"]} if isinstance(node.get("$ref"), str) else set()
        return own.union(*(_references(value) for value in node.values()))
    if isinstance(node, list):
        return set().union(*(_references(value) for value in node))
    return set()
