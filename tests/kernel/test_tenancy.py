"""Row-level security, as the app's own role meets it."""

from collections.abc import Callable
from io import StringIO
from types import SimpleNamespace

import psycopg
import pytest
from celery import shared_task
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.db import InternalError, connection, connections, transaction
from django.db.utils import IntegrityError, ProgrammingError

from accounts.models import ApiKey, Membership, Tenant, User
from millrace.kernel.roles import faults_of_role
from millrace.kernel.tenancy import TenantContextMissing, current_scope, no_scope, platform_scope, tenant_scope
from tests.factories import api_client


def test_a_tenant_sees_its_own_rows_only(alice: User, charlie: User, tenant: Tenant) -> None:
    with tenant_scope(tenant.pk):
        seen = list(Membership.objects.values_list("user__email", flat=True))
        tenants = list(Tenant.objects.all())

    assert seen == ["alice@example.com"]
    assert tenants == [tenant]


def test_a_tenant_cannot_write_for_another(alice: User, charlie: User, tenant: Tenant) -> None:
    with platform_scope(reason="look"):
        other = Tenant.objects.exclude(pk=tenant.pk).get()

    with (
        pytest.raises((ProgrammingError, InternalError), match="row-level security"),
        transaction.atomic(),
        tenant_scope(tenant.pk),
    ):
        Membership.objects.create(tenant=other, user=alice, role="owner")
    with platform_scope(reason="look"):
        assert Membership.objects.filter(tenant=other).count() == 1


def test_t5_no_context_is_an_error_and_never_all_rows(alice: User) -> None:
    with no_scope(), pytest.raises(TenantContextMissing, match="accounts_membership"):
        Membership.objects.count()


@pytest.mark.parametrize("purge", [lambda rows: rows.delete(), lambda rows: rows.update(role="viewer")])
def test_t5_a_purge_without_context_fails_and_does_not_pass_for_nothing_to_do(alice: User, purge: Callable) -> None:
    with no_scope(), pytest.raises(TenantContextMissing, match="accounts_membership"), transaction.atomic():
        purge(Membership.objects.all())

    with platform_scope(reason="look"):
        assert Membership.objects.get(user=alice).role == "owner"


def test_no_context_is_refused_by_the_database_too(real_db: None, alice: User) -> None:
    with no_scope(), connection.cursor() as wrapped, pytest.raises(psycopg.DataError):  # '' is no tenant's UUID
        wrapped.cursor.execute("SELECT count(*) FROM accounts_membership")


def test_t4_the_tests_role_bypasses_nothing(db: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_user, rolsuper, rolbypassrls FROM pg_roles WHERE rolname = current_user")
        name, is_super, bypasses = cursor.fetchone()
        cursor.execute("SELECT count(*) FROM pg_tables WHERE schemaname='public' AND tableowner = current_user")
        owned = cursor.fetchone()[0]

    assert name == "millrace_app"
    assert not is_super
    assert not bypasses
    assert owned == 0


def test_t4_bootstrap_refuses_a_role_that_the_policies_do_not_bind(
    real_db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    call_command("check", database=["default"], stdout=StringIO())
    monkeypatch.setitem(connections["default"].settings_dict, "USER", connections["owner"].settings_dict["USER"])
    monkeypatch.setitem(
        connections["default"].settings_dict, "PASSWORD", connections["owner"].settings_dict["PASSWORD"]
    )
    connections["default"].close()

    with pytest.raises(SystemCheckError, match="millrace_owner owns tables"):
        call_command("check", database=["default"], stdout=StringIO())

    connections["default"].close()


def test_t4_a_superuser_and_a_role_that_bypasses_are_told() -> None:
    answers = [("root", True, True), (0,)]
    cursor = SimpleNamespace(execute=lambda *_: None, fetchone=lambda: answers.pop(0))

    assert [fault.split(" root ")[1] for fault in faults_of_role(cursor)] == [
        "is a superuser, whom no policy holds.", "bypasses row-level security.",
    ]  # fmt: skip


def test_t2_nothing_stays_in_the_session(real_db: None, tenant: Tenant) -> None:
    with tenant_scope(tenant.pk):
        list(Tenant.objects.all())

    left = connection.cursor()
    left.execute("SELECT current_setting('millrace.tenant', true), current_user")
    assert left.fetchone() in {("", "millrace_app"), (None, "millrace_app")}


def test_t3_a_scope_ends_with_its_block_within_one_transaction(alice: User, tenant: Tenant) -> None:
    with transaction.atomic():
        with platform_scope(reason="test"):
            Membership.objects.count()
        with no_scope(), connection.cursor() as cursor:
            cursor.execute("SELECT current_setting('millrace.tenant', true), current_user")
            assert cursor.fetchone() == ("", "millrace_app")


def test_t3_a_task_without_context_is_nobody_even_after_one_that_failed_in_its_own(alice: User, tenant: Tenant) -> None:
    @shared_task(name="test.break_in_scope")
    def break_in_scope() -> None:
        with tenant_scope(tenant.pk):
            Membership.objects.count()
            raise RuntimeError("a defect")

    @shared_task(name="test.forgetful")
    def forgetful() -> int:
        return Membership.objects.count()

    with no_scope():
        assert isinstance(break_in_scope.apply().result, RuntimeError)
        assert isinstance(forgetful.apply().result, TenantContextMissing)


def test_a_rolled_back_savepoint_does_not_lose_the_scope(alice: User, tenant: Tenant) -> None:
    with tenant_scope(tenant.pk):
        with pytest.raises(IntegrityError), transaction.atomic():
            ApiKey.objects.create(tenant=tenant, name=None)
        assert Membership.objects.count() == 1


def test_scopes_nest_and_restore(tenant: Tenant) -> None:
    with tenant_scope(tenant.pk):
        outer = current_scope()
        with platform_scope(reason="inner"):
            assert current_scope() != outer
        assert current_scope() == outer


def test_t7_a_name_that_a_stranger_took_is_free_and_a_stranger_learns_nothing(
    alice: User, charlie: User, tenant: Tenant
) -> None:
    """Each tenant invites the same person, and registers the same name: neither is told of the other's."""
    with platform_scope(reason="look"):
        other = Tenant.objects.exclude(pk=tenant.pk).get()
    for each in (tenant, other):
        ours = api_client(each)
        invited = ours.post("/v1/invitations", {"email": "dora@example.com", "role": "viewer"}, key="same-key")
        named = ours.post("/v1/meters", {"name": "own:pages"}, key="same-meter")

        assert (invited.status_code, named.status_code) == (201, 201), (invited.json(), named.json())
        assert "Idempotent-Replayed" not in invited
        assert [row["name"] for row in ours.get("/v1/meters").json()["data"]] == ["own:pages"]
