"""Who calls: /v1/me, the tenant, API keys, the audit log, suspension and closing."""

from datetime import timedelta

import pytest

from accounts.models import ApiKey, Tenant, User
from accounts.services.tenants import tenant_set_state
from millrace.kernel import clock
from millrace.kernel.models import AuditEntry, IdempotencyRecord
from millrace.kernel.tenancy import platform_scope
from tests import factories
from tests.factories import SYSTEM, ApiClient, api_client, logged_in


def test_me_for_a_key(api, tenant: Tenant) -> None:
    me = api.get("/v1/me").json()

    assert me["user"] is None
    assert me["tenants"] == []
    assert me["api_key"]["scopes"] == ["admin"]
    assert me["tenant"]["id"] == tenant.public_id


def test_me_for_a_person_without_any_tenant(db: None) -> None:
    nobody = logged_in(factories.make_user("new@example.com"))

    assert nobody.get("/v1/me").json()["tenant"] is None
    assert nobody.get("/v1/tenant").json()["detail"] == "Choose a tenant first."


def test_a_person_changes_its_name_and_tenant(alice: User, charlie: User) -> None:
    with platform_scope(reason="look"):
        other = Tenant.objects.get(name="Charlie's")
    client = logged_in(factories.make_member(other, role="viewer"))
    member = User.objects.latest("created_at")
    with platform_scope(reason="test data"):
        member.memberships.create(tenant=Tenant.objects.get(name="Acme Sensors"), role="billing")

    change = {"name": "Dora", "tenant": _acme().public_id}
    me = client.patch("/v1/me", change, content_type="application/json").json()

    assert me["user"]["name"] == "Dora"
    assert (me["tenant"]["name"], me["role"]) == ("Acme Sensors", "billing")
    assert client.get("/v1/me").json()["tenant"]["name"] == "Acme Sensors"


def _acme() -> Tenant:
    with platform_scope(reason="look"):
        return Tenant.objects.get(name="Acme Sensors")


@pytest.mark.parametrize("door", ["api", "page"])
def test_nobody_switches_to_a_tenant_they_do_not_belong_to(charlie: User, alice: User, door: str) -> None:
    client, wanted = logged_in(charlie), _acme().public_id

    if door == "api":
        answer = client.patch("/v1/me", {"tenant": wanted, "name": "X"}, content_type="application/json")
    else:
        answer = client.post("/tenant/switch", {"tenant": wanted})

    assert answer.status_code == 404
    assert client.get("/v1/me").json()["tenant"]["name"] == "Charlie's"
    charlie.refresh_from_db()
    assert charlie.name == ""


def test_the_page_switches_and_leads_to_own_addresses_only(alice: User) -> None:
    client, own = logged_in(alice), _acme().public_id

    assert client.post("/tenant/switch", {"tenant": own, "next": "/jobs/"})["Location"] == "/jobs/"
    assert client.post("/tenant/switch", {"tenant": own, "next": "https://evil.example/"})["Location"] == "/"
    assert client.post("/tenant/switch", {"tenant": own, "next": "//evil.example/"})["Location"] == "/"


def test_renaming_the_tenant_keeps_its_slug(alice: User, tenant: Tenant) -> None:
    answer = logged_in(alice).patch("/v1/tenant", {"name": "Acme Vision"}, content_type="application/json")

    assert (answer.json()["name"], answer.json()["slug"]) == ("Acme Vision", tenant.slug)


def test_a_keys_secret_is_shown_once_and_works(api) -> None:
    made = api.post("/v1/api-keys", {"name": "ci", "scopes": ["jobs", "jobs", "data"]}).json()

    assert made["secret"].startswith(f"mr_test_{made['prefix']}_")
    assert made["scopes"] == ["data", "jobs"]
    assert ApiClient(made["secret"]).get("/v1/me").json()["permissions"] == [
        "data.read", "data.write", "jobs.read", "jobs.write", "models.read",
    ]  # fmt: skip
    listed = api.get("/v1/api-keys").json()["data"]
    assert {row["id"] for row in listed} >= {made["id"]}
    assert all("secret" not in row and "secret_hash" not in row for row in listed)


def test_a_replay_makes_no_second_key_and_shows_no_secret(api, tenant: Tenant) -> None:
    body = {"name": "ci", "scopes": ["jobs"]}

    first, again = api.post("/v1/api-keys", body, key="k1"), api.post("/v1/api-keys", body, key="k1")

    assert again["Idempotent-Replayed"] == "true"
    assert again.json() == first.json() | {"secret": None}
    with platform_scope(reason="look"):
        assert ApiKey.objects.filter(name="ci").count() == 1
        assert first.json()["secret"] not in str(IdempotencyRecord.objects.get().body)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": "x", "scopes": []}, "scopes"),
        ({"name": "x", "scopes": ["root"]}, "scopes[0]"),
        ({"name": "x" * 81, "scopes": ["jobs"]}, "name"),
        ({"name": "x", "scopes": ["jobs"], "expires_at": "2001-01-01T00:00:00Z"}, "expires_at"),
        ({"name": "x", "scopes": ["jobs"], "tenant": "ten_x"}, "tenant"),
    ],
)
def test_a_key_with_a_fault_is_not_made(api, body: dict, field: str) -> None:
    answer = api.post("/v1/api-keys", body)

    assert (answer.status_code, answer.json()["field"]) == (422, field)
    with platform_scope(reason="look"):
        assert ApiKey.objects.count() == 1


def test_a_revoked_key_opens_nothing(alice: User, tenant: Tenant) -> None:
    program = api_client(tenant)
    key_id = program.get("/v1/me").json()["api_key"]["id"]

    for _ in range(2):
        assert logged_in(alice).delete(f"/v1/api-keys/{key_id}").status_code == 204

    assert program.get("/v1/me").status_code == 401
    with platform_scope(reason="look"):
        assert AuditEntry.objects.filter(action="api_key.revoke").count() == 1


def test_a_key_ends_at_its_time(api) -> None:
    ends = clock.now() + timedelta(hours=1)
    made = api.post("/v1/api-keys", {"name": "ci", "scopes": ["read"], "expires_at": ends.isoformat()}).json()
    program = ApiClient(made["secret"])

    with clock.frozen(ends - timedelta(seconds=1)):
        assert program.get("/v1/me").status_code == 200
    with clock.frozen(ends):
        assert program.get("/v1/me").status_code == 401


def test_partner_scopes_open_nothing_in_a_customers_tenant(tenant: Tenant) -> None:
    assert api_client(tenant, ["partner", "reseller"]).get("/v1/me").json()["permissions"] == []


def test_a_key_makes_no_key_that_may_do_more_than_itself(partner_user: User) -> None:
    organisation = partner_user.memberships.model.objects
    with platform_scope(reason="look"):
        partners = organisation.select_related("tenant").get(user=partner_user).tenant
    key, body = api_client(partners, ["admin"]), {"name": "x", "scopes": ["reseller"]}

    answer = key.post("/v1/api-keys", body)

    assert (answer.status_code, answer.json()["field"]) == (403, "scopes")
    assert logged_in(partner_user).post("/v1/api-keys", body, content_type="application/json").status_code == 201
    assert key.post("/v1/api-keys", {"name": "x", "scopes": ["jobs"]}).status_code == 201


def test_a_suspended_tenant_reads_and_pays(alice: User, tenant: Tenant) -> None:
    tenant_set_state(tenant_id=tenant.pk, state="suspended", actor=SYSTEM)
    client, program = logged_in(alice), api_client(tenant)

    assert client.get("/v1/members").status_code == 200
    assert program.get("/v1/audit-log").status_code == 200
    for sender in (client, program.client):
        answer = sender.patch("/v1/tenant", {"name": "X"}, content_type="application/json", headers=program.headers)
        assert (answer.status_code, answer.json()["code"]) == (403, "tenant_suspended")
    with platform_scope(reason="look"):
        assert Tenant.objects.get(pk=tenant.pk).name == "Acme Sensors"

    tenant_set_state(tenant_id=tenant.pk, state="active", actor=SYSTEM)

    assert client.patch("/v1/tenant", {"name": "X"}, content_type="application/json").status_code == 200


def test_a_closed_tenant_is_gone(alice: User, tenant: Tenant) -> None:
    program = api_client(tenant)
    tenant_set_state(tenant_id=tenant.pk, state="closed", actor=SYSTEM)

    assert program.get("/v1/me").status_code == 401
    assert logged_in(alice).get("/v1/me").json()["tenants"] == []
    assert logged_in(alice).get("/v1/tenant").status_code == 403


def test_the_audit_log_tells_who_did_what_in_this_tenant(alice: User, charlie: User, tenant: Tenant) -> None:
    logged_in(alice).patch("/v1/tenant", {"name": "Acme Vision"}, content_type="application/json")

    mine = logged_in(alice).get("/v1/audit-log").json()["data"]
    theirs = logged_in(charlie).get("/v1/audit-log").json()["data"]

    assert (mine[0]["action"], mine[0]["actor"]) == ("tenant.rename", f"user:{alice.public_id}")
    assert mine[0]["data"] == {"before": "Acme Sensors"}
    assert [row["action"] for row in theirs] == ["tenant.create"]
