"""Payers at Stripe: one customer for each billing account, and its tax rate."""

from typing import Any

from accounts.models import Tenant
from billing.models import BillingAccount
from billing.stripe.client import client, once
from millrace.kernel.tenancy import platform_scope


def customer_ensure(account: BillingAccount) -> str:
    """The account's customer at Stripe. Safe to repeat and to race: the idempotency key is the account's."""
    if account.stripe_customer_id:
        return account.stripe_customer_id
    with platform_scope(reason="a payer's name is its organisation's"):
        name = Tenant.objects.values_list("name", flat=True).get(pk=account.owner_tenant_id)
    params: Any = {"name": name, "metadata": {"billing_account_id": str(account.pk)}}
    if account.email:
        params["email"] = account.email
    if account.clock:
        params["test_clock"] = account.clock
    made = client().v1.customers.create(params, once(f"customer:{account.pk}"))
    BillingAccount.objects.filter(pk=account.pk).update(stripe_customer_id=made.id)
    account.stripe_customer_id = made.id
    return made.id


def tax_rates(account: BillingAccount) -> list[str]:
    """The tax rates of the account's subscriptions and invoices: one, or none where no tax is due."""
    if not account.tax_percent:
        return []
    if not account.stripe_tax_rate_id:
        percent = f"{account.tax_percent.normalize():f}"
        params: Any = {"display_name": "VAT", "percentage": float(account.tax_percent), "inclusive": False}
        if account.tax_country:
            params["country"] = account.tax_country
        made = client().v1.tax_rates.create(params, once(f"tax:{account.tax_country}:{percent}"))
        BillingAccount.objects.filter(pk=account.pk).update(stripe_tax_rate_id=made.id)
        account.stripe_tax_rate_id = made.id
    return [account.stripe_tax_rate_id]
