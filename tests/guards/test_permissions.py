"""Every address stands in the permission table, and every caller meets what the table says."""

from collections import Counter
from typing import Any

import pytest
from django.db import transaction
from django.test import Client

from accounts.models import Tenant, User
from accounts.roles import PERMISSIONS, Role, permissions_of_role
from millrace.kernel.ids import typeid, uuid7
from millrace.kernel.models import AuditEntry, OutboxEvent
from millrace.kernel.tenancy import platform_scope
from tests import factories
from tests.guards.permission_table import SPECIAL, Row, addresses, rows

ROWS = rows()
CALLERS = ("owner", "developer", "billing", "viewer", "stranger", "partner", "staff", "nobody")
# A permitted caller may still meet these: the walk sends no sensible body and names things that do not exist.
PERMITTED = {200, 201, 202, 204, 302, 303, 400, 402, 404, 409, 410, 415, 422}


def test_every_address_has_a_row() -> None:
    known = {(row.method, row.path) for row in ROWS}
    known_paths = {row.path for row in ROWS}

    missing = sorted(
        f"{address.method or 'ANY'} {address.path} ({address.permission})"
        for address in addresses()
        if (address.method, address.path) not in known and (address.method or address.path not in known_paths)
    )

    assert not missing, "\n".join(missing)


def test_every_row_has_an_address() -> None:
    paths = {address.path for address in addresses()}
    typed = {(address.method, address.path) for address in addresses() if address.method}
    typed_paths = {path for _, path in typed}

    gone = [str(row) for row in ROWS if row.path not in paths]
    gone += [str(row) for row in ROWS if row.path in typed_paths and (row.method, row.path) not in typed]

    assert not gone, "\n".join(gone)


def test_each_row_stands_once_and_names_what_exists() -> None:
    doubled = [address for address, count in Counter(map(str, ROWS)).items() if count > 1]
    unknown = [str(row) for row in ROWS if row.permission not in PERMISSIONS | SPECIAL]

    assert doubled == []
    assert unknown == []


def test_views_ask_what_the_table_says() -> None:
    table = {(row.method, row.path): row.permission for row in ROWS}

    different = [
        f"{address.method} {address.path}: the view asks {address.permission!r}, "
        f"the table {table[address.method, address.path]!r}"
        for address in addresses()
        if address.permission and table.get((address.method, address.path)) not in (address.permission, "signed", None)
    ]

    assert not different, "\n".join(different)


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_each_caller_meets_what_the_table_says(row: Row, tenant: Tenant) -> None:
    given = row.objects(tenant) if row.objects else {}
    complaints = []

    for who in CALLERS:
        with transaction.atomic():  # each caller meets the same things, unchanged by the one before
            client, granted = _caller(who, tenant)
            before = _history()
            answer = _send(client, row, given)
            if not _is_as_told(row, who, granted, answer):
                complaints.append(f"{who} met {answer.status_code}: {_problem(answer)}")
            if answer.status_code in {401, 403, 404} and _history() != before:
                complaints.append(f"{who} was denied, and yet something changed")
            transaction.set_rollback(True)

    assert not complaints, "\n".join(complaints)


def _is_as_told(row: Row, who: str, granted: frozenset[str], answer: Any) -> bool:
    status = answer.status_code
    if row.permission in {"public", "signed"}:
        return status < 500 and (status != 401 or row.permission == "signed")
    if who == "nobody":
        return _is_unknown(row, answer)
    if row.permission == "ops.read":
        return status in PERMITTED if who == "staff" else status == 404
    if row.permission != "logged_in" and row.permission not in granted:
        return status == 403
    if row.objects and who in {"stranger", "partner"}:
        return status == 404
    problem = _problem(answer)
    has_its_own_reason = status == 403 and "permission" not in problem and problem.get("code") != "forbidden"
    return status in PERMITTED or has_its_own_reason


def _caller(who: str, tenant: Tenant) -> tuple[Client, frozenset[str]]:
    """A logged-in browser and what it may do in its own tenant."""
    client = Client(raise_request_exception=False)
    if who == "nobody":
        return client, frozenset()
    if who == "staff":
        client.force_login(factories.make_user(is_staff=True))
        return client, frozenset()
    user, role, kind = _person(who, tenant)
    client.force_login(user)
    return client, permissions_of_role(role, tenant_kind=kind)


def _person(who: str, tenant: Tenant) -> tuple[User, str, str]:
    if who in {"stranger", "partner"}:
        kind = "partner" if who == "partner" else "customer"
        return (
            factories.make_member(factories.make_tenant(name="Elsewhere", kind=kind), role=Role.OWNER),
            Role.OWNER,
            kind,
        )
    return factories.make_member(tenant, role=who), who, "customer"


def _send(client: Client, row: Row, given: dict[str, str]) -> Any:
    path = row.path
    while "{" in path:
        head, _, rest = path.partition("{")
        name, _, tail = rest.partition("}")
        path = head + str(given.get(name, typeid("zzz", uuid7()))) + tail
    if row.method == "GET":
        return client.get(path)
    send = getattr(client, row.method.lower())
    if not path.startswith("/v1/"):
        return send(path, row.body or {})
    return send(path, row.body if row.body is not None else {}, content_type="application/json")


def _history() -> tuple[int, int]:
    with platform_scope(reason="look"):
        return AuditEntry.objects.count(), OutboxEvent.objects.count()


def _problem(answer: Any) -> dict:
    return answer.json() if "json" in answer.get("Content-Type", "") and answer.content else {}


def _is_unknown(row: Row, answer: Any) -> bool:
    if row.path.startswith("/v1/"):
        is_problem = answer["Content-Type"] == "application/problem+json"
        return answer.status_code == 401 and is_problem and answer["WWW-Authenticate"].startswith("Bearer")
    if answer.status_code == 302:
        return answer["Location"].startswith("/accounts/login/")
    return answer.status_code in {401, 403, 404}
