"""Lists: whole, in order, and stable while rows are added and removed."""

import pytest

from accounts.models import Membership, Tenant
from millrace.kernel.tenancy import platform_scope
from tests.factories import ApiClient, make_member


def ids_of(answer) -> list[str]:
    return [row["id"] for row in answer.json()["data"]]


def test_pages_join_to_the_whole_list_newest_first(api: ApiClient, tenant: Tenant) -> None:
    for _ in range(7):
        make_member(tenant)
    whole = ids_of(api.get("/v1/test/rows"))

    seen, cursor = [], None
    while True:
        answer = api.get("/v1/test/rows", limit=3, **({"cursor": cursor} if cursor else {}))
        seen += ids_of(answer)
        cursor = answer.json()["next_cursor"]
        if cursor is None:
            break

    assert seen == whole == sorted(whole, reverse=True)
    assert len(seen) == 7


def test_a_full_last_page_has_no_next(api: ApiClient, tenant: Tenant) -> None:
    for _ in range(3):
        make_member(tenant)

    assert api.get("/v1/test/rows", limit=3).json()["next_cursor"] is None
    assert api.get("/v1/test/rows", limit=2).json()["next_cursor"]


def test_rows_that_come_and_go_shift_no_page(api: ApiClient, tenant: Tenant) -> None:
    for _ in range(6):
        make_member(tenant)
    whole = ids_of(api.get("/v1/test/rows"))
    first = api.get("/v1/test/rows", limit=3)

    make_member(tenant)
    with platform_scope(reason="test data"):
        Membership.objects.order_by("-id")[1].delete()
    second = api.get("/v1/test/rows", limit=3, cursor=first.json()["next_cursor"])

    assert ids_of(first) + ids_of(second) == whole


@pytest.mark.parametrize("cursor", ["x", "%%%", "é", "A" * 23, "A" * 500, "\0", "none"])
def test_a_cursor_that_was_never_given_out(api: ApiClient, cursor: str) -> None:
    answer = api.get("/v1/test/rows", cursor=cursor)

    assert (answer.status_code, answer.json()["field"]) == (422, "cursor")


@pytest.mark.parametrize("limit", ["0", "-1", "201", "1.5", "x", "", "²", "9" * 40, "0000000001999999"])
def test_a_limit_out_of_bounds(api: ApiClient, limit: str) -> None:
    answer = api.get("/v1/test/rows", limit=limit)

    assert (answer.status_code, answer.json()["field"]) == (422, "limit")


def test_a_strangers_cursor_shows_own_rows_only(api: ApiClient, tenant: Tenant, charlie) -> None:
    for _ in range(3):
        make_member(tenant)
    with platform_scope(reason="look"):
        newest = Membership.objects.order_by("-id").first()
    from millrace.api.pagination import _encode

    assert newest
    shown = api.get("/v1/test/rows", cursor=_encode(newest.pk))

    with platform_scope(reason="look"):
        mine = {member.public_id for member in Membership.objects.filter(tenant=tenant)}
    assert set(ids_of(shown)) <= mine
