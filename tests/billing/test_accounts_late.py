"""Whoever buys within a second of signing up may be faster than the news of it."""

from accounts.models import Tenant, User
from billing.selectors.spending import billing_of
from millrace.kernel.tenancy import tenant_scope


def test_billing_is_there_before_the_news_was_carried(tenant: Tenant, alice: User) -> None:
    with tenant_scope(tenant.pk):
        billing = billing_of(tenant.pk)

    assert billing.billing_account.owner_tenant_id == tenant.pk
