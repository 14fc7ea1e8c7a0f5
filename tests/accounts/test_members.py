"""Members: who may change whom, and that an owner always remains."""

import pytest
from django.test import Client

from accounts.errors import LastOwner
from accounts.models import ApiKey, Membership, Tenant, User
from accounts.services.members import member_remove, member_set_role
from millrace.kernel.models import AuditEntry
from millrace.kernel.tenancy import platform_scope, tenant_scope
from tests import factories
from tests.factories import logged_in
from tests.threads import in_threads


def member_of(user: User) -> Membership:
    with platform_scope(reason="look"):
        return Membership.objects.select_related("tenant").get(user=user)


def patch(client: Client, path: str, body: dict):
    return client.patch(path, body, content_type="application/json")


def test_the_list_shows_the_tenants_people_only(alice: User, bob: User, charlie: User) -> None:
    found = logged_in(bob).get("/v1/members").json()

    assert {row["user"]["email"]: row["role"] for row in found["data"]} == {
        "alice@example.com": "owner",
        "bob@example.com": "developer",
    }
    assert found["next_cursor"] is None


def test_an_owner_changes_a_role_and_it_is_recorded(alice: User, bob: User) -> None:
    member = member_of(bob)

    answer = patch(logged_in(alice), f"/v1/members/{member.public_id}", {"role": "billing"})

    assert (answer.status_code, answer.json()["role"]) == (200, "billing")
    with platform_scope(reason="look"):
        entry = AuditEntry.objects.get(action="member.set_role")
    assert entry.actor == f"user:{alice.public_id}"
    assert entry.data == {"before": "developer", "after": "billing"}
    assert logged_in(bob).get("/v1/me").json()["permissions"] == [
        "billing.read", "billing.write", "members.read", "tenant.read", "usage.read",
    ]  # fmt: skip


@pytest.mark.parametrize("body", [{"role": "king"}, {}, {"role": ["owner"]}, {"role": None}])
def test_a_role_that_does_not_exist_is_refused(alice: User, bob: User, body: dict) -> None:
    answer = patch(logged_in(alice), f"/v1/members/{member_of(bob).public_id}", body)

    assert (answer.status_code, answer.json()["field"]) == (422, "role")
    assert member_of(bob).role == "developer"


@pytest.mark.parametrize("method", ["patch", "delete"])
def test_the_last_owner_stays(alice: User, bob: User, method: str) -> None:
    path = f"/v1/members/{member_of(alice).public_id}"

    answer = patch(logged_in(alice), path, {"role": "viewer"}) if method == "patch" else logged_in(alice).delete(path)

    assert (answer.status_code, answer.json()["code"]) == (409, "last_owner")
    assert member_of(alice).role == "owner"


@pytest.mark.parametrize("method", ["patch", "delete"])
def test_an_admin_does_not_touch_owners(alice: User, tenant: Tenant, method: str) -> None:
    factories.make_member(tenant, role="owner")
    admin = logged_in(factories.make_member(tenant, role="admin"))
    path = f"/v1/members/{member_of(alice).public_id}"

    answer = patch(admin, path, {"role": "viewer"}) if method == "patch" else admin.delete(path)

    assert (answer.status_code, answer.json()["code"]) == (403, "owner_needed")
    assert member_of(alice).role == "owner"


def test_an_admin_makes_nobody_an_owner_itself_included(alice: User, tenant: Tenant) -> None:
    admin = factories.make_member(tenant, role="admin")

    answer = patch(logged_in(admin), f"/v1/members/{member_of(admin).public_id}", {"role": "owner"})

    assert answer.json()["code"] == "owner_needed"
    assert member_of(admin).role == "admin"


def test_a_removed_member_sees_nothing_from_the_next_request_on(alice: User, bob: User) -> None:
    bobs = logged_in(bob)
    assert bobs.get("/v1/tenant").status_code == 200

    assert logged_in(alice).delete(f"/v1/members/{member_of(bob).public_id}").status_code == 204

    assert bobs.get("/v1/tenant").status_code == 403
    assert bobs.get("/v1/me").json()["tenant"] is None


@pytest.mark.parametrize("door", ["api", "page"])
def test_what_was_meant_for_a_tenant_that_one_has_left_is_not_done_in_another(
    alice: User, bob: User, tenant: Tenant, door: str
) -> None:
    second, first_place = factories.make_tenant(name="Bob's own", owner=bob), member_of_in(bob, tenant)
    browser = logged_in(bob)
    assert browser.get("/v1/me").json()["tenant"]["name"] == "Acme Sensors"
    logged_in(alice).delete(f"/v1/members/{first_place.public_id}")

    def make_key():
        if door == "page":
            return browser.post("/api-keys/", {"name": "ci", "scopes": ["jobs"]})
        return browser.post("/v1/api-keys", {"name": "ci", "scopes": ["jobs"]}, content_type="application/json")

    refused = make_key()

    assert refused.status_code == 409
    assert "tenant_left" in refused.content.decode()
    with tenant_scope(second.pk):
        assert not ApiKey.objects.exists()
    assert make_key().status_code in (200, 201)  # now knowing where


def member_of_in(user: User, tenant: Tenant) -> Membership:
    with tenant_scope(tenant.pk):
        return Membership.objects.get(user=user)


def test_a_strangers_member_is_not_found(alice: User, charlie: User) -> None:
    path = f"/v1/members/{member_of(alice).public_id}"

    assert logged_in(charlie).delete(path).status_code == 404
    assert patch(logged_in(charlie), path, {"role": "viewer"}).status_code == 404
    assert member_of(alice).role == "owner"


@pytest.mark.parametrize("act", ["remove", "demote"])
def test_two_owners_who_act_on_each_other_at_once_leave_one(real_db: None, tenant: Tenant, act: str) -> None:
    targets = [member_of(factories.make_member(tenant, role="owner")) for _ in range(2)]

    def strike(number: int) -> None:
        values = {
            "tenant_id": tenant.pk, "member_id": targets[number].pk, "actor": factories.SYSTEM, "by_owner": True,
        }  # fmt: skip
        with tenant_scope(tenant.pk):
            if act == "remove":
                member_remove(**values)
            else:
                member_set_role(role="viewer", **values)

    ends = in_threads(2, strike)

    assert [type(end) for end in ends if end is not None] == [LastOwner]
    with tenant_scope(tenant.pk):
        assert Membership.objects.filter(role="owner").count() == 1
