"""Whoever signs up goes on to buy within seconds, and must not wait for a worker."""

from typing import Any

from billing.selectors.spending import billing_of
from millrace.kernel import outbox
from millrace.kernel.tenancy import tenant_scope
from tests.factories import make_tenant


def test_billing_is_there_as_soon_as_the_tenant_is(
    db: None, settings: Any, monkeypatch: Any, django_capture_on_commit_callbacks: Any
) -> None:
    settings.OUTBOX_DOORBELL = True
    monkeypatch.setattr(outbox, "_ring", lambda: None)  # no worker hears the doorbell

    with django_capture_on_commit_callbacks(execute=True):
        tenant = make_tenant()

    with tenant_scope(tenant.pk):
        assert billing_of(tenant.pk).billing_account.owner_tenant_id == tenant.pk
