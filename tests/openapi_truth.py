"""Every answer of the API that a test gets is held against the OpenAPI document: its status, its type, its content."""

import json
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import jsonschema
import pytest
from django.test import Client
from drf_spectacular.generators import SchemaGenerator

# What is not the product's: the document itself, and the doors of tests/api.
_OTHERS = ("/v1/openapi.json", "/v1/test/")
_ask = Client.request


@pytest.fixture(scope="session", autouse=True)
def _answers_are_as_documented() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:

        def ask_and_compare(client: Client, **request: Any) -> Any:
            answer = _ask(client, **request)
            found = faults(request.get("REQUEST_METHOD", "GET"), request.get("PATH_INFO", ""), answer)
            assert not found, "The OpenAPI document says otherwise: " + "; ".join(found)
            return answer

        patch.setattr(Client, "request", ask_and_compare)
        yield


@pytest.fixture
def uncompared(monkeypatch: pytest.MonkeyPatch) -> None:
    """For measurements: comparing takes time."""
    monkeypatch.setattr(Client, "request", _ask)


def faults(method: str, path: str, answer: Any) -> list[str]:
    """In what the answer differs from the document; nothing for addresses that do not stand in it, and for defects."""
    if not path.startswith("/v1/") or path.startswith(_OTHERS) or answer.status_code == 500:
        return []
    operation = _operation(method.lower(), path)
    if operation is None:
        return []
    described = operation["responses"].get(str(answer.status_code))
    if described is None:
        return [f"{method} {path} may not answer {answer.status_code}"]
    contents = described.get("content", {})
    kind = answer.get("Content-Type", "").partition(";")[0]
    if answer.streaming or not (contents or answer.content):
        return []
    if kind not in contents:
        return [f"{method} {path} answers {answer.status_code} as {kind!r}, and not as one of {sorted(contents)}"]
    if not kind.endswith("json"):
        return []
    differing = _validator(json.dumps(contents[kind]["schema"])).iter_errors(json.loads(answer.content))
    return [f"{method} {path}: {'/'.join(map(str, one.absolute_path))}: {one.message[:200]}" for one in differing]


@cache
def _document() -> dict:
    made = SchemaGenerator(urlconf="millrace.urls").get_schema(public=True)
    return json.loads(json.dumps(made, default=str))


@cache
def _operation(method: str, path: str) -> dict | None:
    # The address with the fewest parameters first: invitations/accept before invitations/{invitation_id}.
    for template in sorted(_document()["paths"], key=lambda one: one.count("{")):
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path):
            found: dict | None = _document()["paths"][template].get(method)
            return found
    return None


@cache
def _validator(schema: str) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(json.loads(schema) | {"components": _document()["components"]})
