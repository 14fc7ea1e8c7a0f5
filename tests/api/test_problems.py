"""Every failure leaves as problem+json with a stable code, and bad input never gives a 500."""

from typing import Any

import pytest
from django.db import OperationalError, connection, transaction
from django.test import Client

from accounts.models import Tenant, User
from millrace.kernel.errors import PaymentRequired
from millrace.kernel.tenancy import platform_scope
from tests.factories import ApiClient, logged_in


def send(api: ApiClient, body: bytes, content_type: str = "application/json", path: str = "/v1/test/thing") -> Any:
    return api.client.post(path, body, content_type=content_type, headers=api.headers)


def assert_problem(answer: Any, status: int, code: str) -> dict:
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (status, code), problem
    assert answer["Content-Type"] == "application/problem+json"
    assert problem["status"] == status
    assert problem["title"]
    assert problem["detail"]
    assert problem["type"] == "about:blank"
    return problem


@pytest.mark.parametrize(
    "body",
    [
        b"{", b"", b'{"name": NaN}', b'{"name": Infinity}', b"\xff\xfe", b'{"name": "\\ud800"}', b'{"a": 1e999}', b"nonsense",
        b"[" * 10_000 + b"]" * 10_000, b'{"name":' * 10_000 + b"1" + b"}" * 10_000,
        b"[" * 65 + b"]" * 65, b'"text"', b"7", b"null", b'{"name": "a\\u0000b"}', b'{"a\\u0000": 1}',
    ],
    ids=lambda body: str(body[:12]),
)  # fmt: skip
def test_a_body_that_is_no_json_object(api: ApiClient, body: bytes) -> None:
    if body == b"":
        assert_problem(send(api, body), 422, "invalid")  # nothing at all is an object without members
    else:
        assert_problem(send(api, body), 400, "malformed")


def test_nesting_and_escapes_within_bounds_pass(api: ApiClient) -> None:
    inside_text = b'{"name": "' + b"[" * 15 + b'"}'
    assert send(api, inside_text).status_code == 201
    assert send(api, b'{"name": "a\\\\u0000b"}').status_code == 201  # a backslash and six letters, no U+0000
    deep = b'{"a":' + b"[" * 63 + b"]" * 63 + b"}"
    assert send(api, deep, path="/v1/test/act").status_code == 201
    many_brackets_in_a_text = b'{"a":"' + b"[" * 500 + b'"}'
    assert send(api, many_brackets_in_a_text, path="/v1/test/act").status_code == 201


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "name"),
        ({"name": "x" * 21}, "name"),
        ({"name": ["x"]}, "name"),
        ({"name": "x", "nmae": "y"}, "nmae"),
        ({"name": "x", "price": {"amount": 1.5, "currency": "CNY"}}, "price"),
        ({"name": "x", "price": {"amount": True, "currency": "CNY"}}, "price"),
        ({"name": "x", "price": {"amount": 2**63, "currency": "CNY"}}, "price"),
        ({"name": "x", "price": {"amount": 1, "currency": "XXX"}}, "price"),
        ({"name": "x", "price": {"amount": 1, "currency": ["CNY"]}}, "price"),
        ({"name": "x", "price": 1}, "price"),
        ({"name": "x", "job": "ten_01h455vb4pex5vsknk084sn02q"}, "job"),
        ({"name": "x", "job": 7}, "job"),
        ([], ""),
    ],
)
def test_a_value_that_is_not_acceptable_names_its_field(api: ApiClient, body: Any, field: str) -> None:
    answer = api.client.post("/v1/test/thing", body, content_type="application/json", headers=api.headers)

    problem = assert_problem(answer, 422, "invalid")
    assert problem.get("field", "") == field
    assert problem["errors"][0]["detail"]


@pytest.mark.parametrize("content_type", ["text/plain", "application/xml", "application/x-www-form-urlencoded", "?"])
def test_another_content_type(api: ApiClient, content_type: str) -> None:
    assert_problem(send(api, b"name=x", content_type), 415, "unsupported_media_type")


def test_a_body_that_is_too_large(api: ApiClient, settings) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 64

    assert_problem(send(api, b'{"name": "' + b"x" * 64 + b'"}'), 413, "too_large")


@pytest.mark.parametrize("method", ["put", "delete", "options", "trace"])
def test_another_method(api: ApiClient, method: str) -> None:
    answer = getattr(api.client, method)("/v1/test/thing", headers=api.headers)

    assert "{" not in assert_problem(answer, 405, "method_not_allowed")["title"]
    assert answer["Allow"] == "POST"
    assert_problem(Client().post("/v1/test/public"), 405, "method_not_allowed")


@pytest.mark.parametrize("path", ["/v1/nothing", "/v1/", "/v1/me/", "/v1/members/%00", "/v1/members/mem_x%00"])
def test_another_address(api: ApiClient, path: str) -> None:
    assert_problem(api.get(path), 404, "not_found")


def test_what_django_refuses_before_the_view_is_a_problem_too(api: ApiClient, settings) -> None:
    assert_problem(api.get("/v1/me?" + "a=1&" * 1001), 400, "malformed")
    settings.ALLOWED_HOSTS = ["millrace.example.com"]

    assert_problem(api.get("/v1/me"), 400, "malformed")
    assert api.get("/pricing")["Content-Type"].startswith("text/html")


def test_a_page_that_does_not_exist_is_a_page(db: None) -> None:
    answer = Client().get("/nothing")

    assert answer.status_code == 404
    assert answer["Content-Type"].startswith("text/html")


def test_another_media_type_is_not_made(api: ApiClient) -> None:
    answer = api.client.get("/v1/me", headers=api.headers | {"Accept": "application/xml"})

    assert_problem(answer, 406, "not_acceptable")


def test_a_stranger(db: None) -> None:
    answer = Client().get("/v1/me")

    assert_problem(answer, 401, "unauthenticated")
    assert answer["WWW-Authenticate"] == 'Bearer realm="api"'


def test_a_method_without_a_permission_is_refused_and_does_nothing(api: ApiClient, tenant: Tenant) -> None:
    assert_problem(api.put("/v1/test/forgotten", {}), 403, "forbidden")

    with platform_scope(reason="look"):
        assert Tenant.objects.get(pk=tenant.pk).name == "Acme Sensors"


def test_a_coded_failure_carries_its_extras(api: ApiClient, act) -> None:
    def refuse(view: Any) -> None:
        raise PaymentRequired("Add a card.", needed=5)

    act(refuse)

    problem = assert_problem(api.post("/v1/test/act", {}), 402, "payment_required")
    assert (problem["detail"], problem["needed"]) == ("Add a card.", 5)


def test_a_defect_says_nothing_of_itself(api: ApiClient, act) -> None:
    def break_down(view: Any) -> None:
        raise OperationalError("password of the database: hunter2")

    act(break_down)
    api.client.raise_request_exception = False

    answer = api.post("/v1/test/act", {})

    assert_problem(answer, 500, "internal_error")
    assert "hunter2" not in answer.content.decode()


def test_a_value_that_the_database_cannot_hold_is_the_callers_to_mend(api: ApiClient, act) -> None:
    def overflow(view: Any) -> None:
        with connection.cursor() as cursor, transaction.atomic():
            cursor.execute("SELECT 99999999999999999999::bigint")

    act(overflow)

    assert_problem(api.post("/v1/test/act", {}), 422, "invalid")


def test_a_session_needs_its_csrf_token_for_writes(alice: User) -> None:
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(alice)
    assert browser.get("/v1/tenant").status_code == 200

    refused = browser.patch("/v1/tenant", {"name": "X"}, content_type="application/json")

    assert_problem(refused, 403, "csrf_failed")
    browser.get("/accounts/email/")  # any page with a form sets the cookie
    token = browser.cookies["csrftoken"].value
    allowed = browser.patch(
        "/v1/tenant", {"name": "X"}, content_type="application/json", headers={"X-CSRFToken": token}
    )
    assert allowed.status_code == 200


def test_a_key_needs_no_csrf_token(api: ApiClient) -> None:
    program = Client(enforce_csrf_checks=True)

    answer = program.patch("/v1/tenant", {"name": "X"}, content_type="application/json", headers=api.headers)

    assert answer.status_code == 200


def test_a_key_counts_and_not_the_session_beside_it(api: ApiClient, charlie: User, tenant: Tenant) -> None:
    both = logged_in(charlie).get("/v1/me", headers=api.headers).json()

    assert both["tenant"]["id"] == tenant.public_id
    assert both["user"] is None
