"""The audit log: written with the act, and never changed after."""

import pytest
from django.db import transaction
from django.db.utils import ProgrammingError

from accounts.models import Tenant, User
from millrace.kernel.audit import Actor, record
from millrace.kernel.models import AuditEntry
from millrace.kernel.tenancy import platform_scope, tenant_scope


@pytest.mark.parametrize("change", ["update", "delete"])
@pytest.mark.parametrize("scope", ["tenant", "platform"])
def test_nobody_changes_what_was_done(tenant: Tenant, change: str, scope: str) -> None:
    with platform_scope(reason="look") if scope == "platform" else tenant_scope(tenant.pk):
        entries = AuditEntry.objects.filter(tenant=tenant)
        before = list(entries.values())

        with pytest.raises(ProgrammingError, match="Cannot"), transaction.atomic():
            entries.update(actor="user:nobody") if change == "update" else entries.delete()

        assert list(entries.values()) == before != []


def test_an_act_that_is_undone_leaves_no_entry(tenant: Tenant) -> None:
    with tenant_scope(tenant.pk):
        with pytest.raises(RuntimeError), transaction.atomic():
            record(actor=Actor.system("tests"), action="thing.do", target=tenant, tenant_id=tenant.pk)
            raise RuntimeError("no")

        assert not AuditEntry.objects.filter(action="thing.do").exists()


def test_an_entry_names_actor_and_target(alice: User, tenant: Tenant) -> None:
    with tenant_scope(tenant.pk):
        entry = record(actor=Actor.user(alice), action="thing.do", target=tenant, tenant_id=tenant.pk, data={"n": 1})

    assert entry.actor == f"user:{alice.public_id}"
    assert entry.target == tenant.public_id
    assert str(Actor.system("reaper")) == "system:reaper"


def test_a_tenant_writes_no_entry_for_another(tenant: Tenant, charlie: User) -> None:
    with platform_scope(reason="look"):
        other = Tenant.objects.exclude(pk=tenant.pk).get()

    with pytest.raises(ProgrammingError, match="row-level security"), transaction.atomic(), tenant_scope(tenant.pk):
        record(actor=Actor.system("tests"), action="thing.do", target="x", tenant_id=other.pk)
