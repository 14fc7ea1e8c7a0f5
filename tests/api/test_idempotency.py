"""The same key answers once, whatever happens in between (M1), and a refused request leaves nothing (T6)."""

from threading import Barrier, Thread
from typing import Any
from unittest import mock
from uuid import uuid4

import pytest
from django.db import connection, connections
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rest_framework.response import Response

from accounts.models import ApiKey, Invitation, Tenant, User
from accounts.services.tenants import tenant_rename
from millrace.kernel.errors import Conflict
from millrace.kernel.models import AuditEntry, IdempotencyRecord
from millrace.kernel.tenancy import platform_scope, tenant_scope
from tests.factories import ApiClient, api_client, logged_in

DOORS = ["/v1/test/act", "/v1/test/outward"]


def rename(view: Any) -> Response:
    tenant_rename(tenant=view.caller.tenant, name=view.request.data["name"], actor=view.caller.actor)
    return Response({"renamed": view.request.data["name"], "times": renames()}, status=201)


def renames() -> int:
    with platform_scope(reason="look"):
        return AuditEntry.objects.filter(action="tenant.rename").count()


@pytest.mark.parametrize("door", DOORS)
def test_a_replay_gets_the_first_answer_and_does_nothing(api: ApiClient, act, door: str) -> None:
    act(rename)

    first = api.post(door, {"name": "one"}, key="k1")
    again = api.post(door, {"name": "one"}, key="k1")

    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json() == {"renamed": "one", "times": 1}
    assert "Idempotent-Replayed" not in first
    assert again["Idempotent-Replayed"] == "true"
    assert renames() == 1


@pytest.mark.parametrize("door", DOORS)
def test_the_same_key_with_another_body_is_a_conflict(api: ApiClient, act, door: str) -> None:
    act(rename)
    api.post(door, {"name": "one"}, key="k1")

    answer = api.post(door, {"name": "two"}, key="k1")

    assert (answer.status_code, answer.json()["code"]) == (409, "idempotency_conflict")
    assert renames() == 1


def test_another_body_is_refused_while_the_first_is_still_under_way(api: ApiClient, act) -> None:
    meanwhile: list[Any] = []

    def rename_slowly(view: Any) -> Response:
        if view.request.data["name"] == "one":
            meanwhile.append(api.post("/v1/test/outward", {"name": "two"}, key="k1"))
        return rename(view)

    act(rename_slowly)
    first = api.post("/v1/test/outward", {"name": "one"}, key="k1")

    assert (meanwhile[0].status_code, meanwhile[0].json()["code"]) == (409, "idempotency_conflict")
    assert (first.status_code, first.json()["times"]) == (201, 1)
    assert renames() == 1


def test_who_died_after_claiming_the_key_is_repeated_and_nobody_else_takes_it(api: ApiClient, act) -> None:
    def die(view: Any) -> Response:
        raise SystemExit

    act(die)
    with (
        mock.patch("millrace.api.idempotency._Records.let_go"),
        pytest.raises(SystemExit),
    ):  # a kill -9 lets go of nothing
        api.post("/v1/test/outward", {"name": "one"}, key="k1")
    act(rename)

    assert api.post("/v1/test/outward", {"name": "two"}, key="k1").status_code == 409
    again = api.post("/v1/test/outward", {"name": "one"}, key="k1")
    assert (again.status_code, again.json()["times"]) == (201, 1)
    assert "Idempotent-Replayed" not in again


def test_a_twin_that_was_faster_has_the_answer(api: ApiClient, act) -> None:
    twins: list[Any] = []

    def rename_behind(view: Any) -> Response:
        if not twins:
            twins.append(None)
            twins.append(api.post("/v1/test/outward", {"name": "one"}, key="k1"))
        return rename(view)

    act(rename_behind)
    slower = api.post("/v1/test/outward", {"name": "one"}, key="k1")

    assert slower.json() == twins[1].json() == {"renamed": "one", "times": 1}
    assert slower["Idempotent-Replayed"] == "true"


def test_the_order_of_members_makes_no_other_body(api: ApiClient, act) -> None:
    act(rename)
    api.post("/v1/test/act", {"name": "one", "b": 1}, key="k1")

    assert api.post("/v1/test/act", {"b": 1, "name": "one"}, key="k1")["Idempotent-Replayed"] == "true"


def test_keys_are_each_tenants_own_and_each_addresss_own(api: ApiClient, act, charlie: User) -> None:
    act(rename)
    api.post("/v1/test/act", {"name": "one"}, key="k1")

    theirs = logged_in(charlie).post(
        "/v1/test/act", {"name": "two"}, content_type="application/json", headers={"Idempotency-Key": "k1"}
    )
    elsewhere = api.post("/v1/test/act/elsewhere", {"name": "three"}, key="k1")

    assert theirs.json()["renamed"] == "two"
    assert elsewhere.json()["renamed"] == "three"
    assert renames() == 3


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("how", ["raise", "return", "break"])
def test_m1_a_failure_frees_the_key(api: ApiClient, act, door: str, how: str) -> None:
    api.client.raise_request_exception = False

    def fail(view: Any) -> Response:
        if how == "raise":
            raise Conflict("not now")
        if how == "break":
            raise RuntimeError("a defect")
        return Response({"code": "no"}, status=409)

    act(fail)
    assert api.post(door, {"name": "one"}, key="k1").status_code == (500 if how == "break" else 409)
    act(rename)

    answer = api.post(door, {"name": "one"}, key="k1")

    assert (answer.status_code, answer.json()["times"]) == (201, 1)
    assert "Idempotent-Replayed" not in answer


@pytest.mark.parametrize("how", ["raise", "return"])
def test_t6_a_refused_keyed_request_leaves_nothing(api: ApiClient, act, how: str) -> None:
    def rename_then_refuse(view: Any) -> Response:
        rename(view)
        if how == "raise":
            raise Conflict("not now")
        return Response({"code": "no"}, status=409)

    act(rename_then_refuse)

    assert api.post("/v1/test/act", {"name": "one"}, key="k1").status_code == 409

    assert renames() == 0
    with platform_scope(reason="look"):
        assert not IdempotencyRecord.objects.exists()


def test_t6_no_transaction_spans_a_request(real_db: None, api: ApiClient, act) -> None:
    open_during: list[bool] = []

    def look(view: Any) -> Response:
        open_during.append(connection.in_atomic_block)
        return Response({})

    act(look)
    api.post("/v1/test/act", {})
    api.post("/v1/test/outward", {}, key="k1")

    assert open_during == [False, False]
    assert connection.settings_dict["ATOMIC_REQUESTS"] is False


def test_two_requests_with_one_key_at_once_have_one_effect(real_db: None, tenant: Tenant, act) -> None:
    act(rename)
    clients, start, answers = [api_client(tenant) for _ in range(4)], Barrier(4), []

    def go(client: ApiClient) -> None:
        start.wait()
        answers.append(client.post("/v1/test/act", {"name": "one"}, key="k1"))
        connections.close_all()

    threads = [Thread(target=go, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert renames() == 1
    assert {answer.status_code for answer in answers} == {201}
    assert {answer.json()["times"] for answer in answers} == {1}
    assert sum("Idempotent-Replayed" in answer for answer in answers) == 3


def test_a_real_door_invites_once(api: ApiClient, mailoutbox: list) -> None:
    for _ in range(3):
        api.post("/v1/invitations", {"email": "dora@example.com", "role": "viewer"}, key="k1")

    assert len(mailoutbox) == 1
    with platform_scope(reason="look"):
        assert Invitation.objects.count() == 1


@pytest.mark.parametrize("key", ["x" * 256, "tab\tkey"])
def test_a_key_with_a_fault_is_refused(api: ApiClient, act, key: str) -> None:
    act(rename)

    answer = api.post("/v1/test/act", {"name": "one"}, key=key)

    assert (answer.status_code, answer.json()["field"]) == (422, "Idempotency-Key")
    assert renames() == 0


def test_an_address_longer_than_the_column_is_kept_by_its_hash(api: ApiClient, act) -> None:
    act(rename)
    long = "/v1/test/act/" + "x" * 400

    first, again = api.post(long, {"name": "one"}, key="k1"), api.post(long, {"name": "one"}, key="k1")

    assert first.status_code == 201
    assert again["Idempotent-Replayed"] == "true"
    assert api.post(long + "y", {"name": "one"}, key="k1").json()["times"] == 2


@given(
    requests=st.lists(
        st.tuples(st.sampled_from([None, "k1", "k2", "k3"]), st.sampled_from(["usage", "predict"])), max_size=8
    )
)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_repeated_each_key_has_one_effect_and_one_answer(
    tenant: Tenant, requests: list[tuple[str | None, str]]
) -> None:
    client, name, first = api_client(tenant), uuid4().hex, {}
    made = 0

    for key, scope in requests:
        answer = client.post("/v1/api-keys", {"name": name, "scopes": [scope]}, key=key and f"{name}-{key}")
        if key is None or key not in first:
            made += 1
            assert answer.status_code == 201
            first[key] = (scope, answer.json()["id"])
        elif first[key][0] == scope:
            assert (answer.status_code, answer.json()["id"]) == (201, first[key][1])
            assert answer["Idempotent-Replayed"] == "true"
        else:
            assert (answer.status_code, answer.json()["code"]) == (409, "idempotency_conflict")

    with tenant_scope(tenant.pk):
        assert ApiKey.objects.filter(name=name).count() == made
