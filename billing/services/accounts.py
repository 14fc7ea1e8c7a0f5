"""Billing accounts: who pays for a tenant."""

from decimal import Decimal
from uuid import UUID

from django.conf import settings
from django.db import transaction

from billing.errors import BilledByReseller, CurrencyMismatch
from billing.models import BillingAccount, TenantBilling
from millrace.kernel.audit import Actor, record
from millrace.kernel.errors import Invalid
from millrace.kernel.money import Money, exponent
from millrace.kernel.tenancy import platform_scope


@platform_scope(reason="who pays for whom is the platform's to say")
def billing_account_ensure(
    *,
    tenant_id: UUID,
    actor: Actor,
    currency: str = "",
    email: str = "",
    reseller_tenant_id: UUID | None = None,
    discount_percent: Decimal = Decimal(0),
) -> TenantBilling:
    """The tenant's billing, made on first call: paid by the tenant itself, or by its reseller's account.

    `currency` and `email` are those of a new account; `discount_percent` is a new reseller account's rebate off list.
    Safe to repeat; a repetition changes nothing.
    """
    exponent(currency or settings.BILLING_CURRENCY)
    with transaction.atomic():
        known = TenantBilling.objects.filter(tenant_id=tenant_id).select_related("billing_account").first()
        if known is not None:
            return known
        account = _account_of(
            reseller_tenant_id or tenant_id,
            currency=currency or settings.BILLING_CURRENCY,
            email="" if reseller_tenant_id else email,
            discount_percent=discount_percent if reseller_tenant_id else Decimal(0),
        )
        TenantBilling.objects.bulk_create(
            [TenantBilling(tenant_id=tenant_id, billing_account=account)], ignore_conflicts=True
        )
        made = TenantBilling.objects.select_related("billing_account").get(tenant_id=tenant_id)
        record(
            actor=actor,
            action="billing_account.ensure",
            target=made.billing_account,
            tenant_id=tenant_id,
            data={"reseller": reseller_tenant_id is not None},
        )
    return made


@platform_scope(reason="who pays for whom is the platform's to say")
def billing_account_set_terms(
    *,
    account_id: UUID,
    actor: Actor,
    discount_percent: Decimal | None = None,
    tax_percent: Decimal | None = None,
    tax_country: str | None = None,
    clock: str | None = None,
) -> BillingAccount:
    """Set a reseller's rebate, the tax, or the test clock, for invoices from now on."""
    if discount_percent is not None and not 0 <= discount_percent < 100:
        raise Invalid("A rebate is at least 0 and below 100 percent.", field="discount_percent")
    changes = {
        "discount_percent": discount_percent,
        "tax_percent": tax_percent,
        "tax_country": tax_country,
        "clock": clock,
    }
    changes = {name: value for name, value in changes.items() if value is not None}
    with transaction.atomic():
        account = BillingAccount.objects.select_for_update().get(pk=account_id)
        for name, value in changes.items():
            setattr(account, name, value)
        if tax_percent is not None or tax_country is not None:
            account.stripe_tax_rate_id = ""  # made anew when it is next needed
        account.save(update_fields=[*changes, "stripe_tax_rate_id"])
        record(
            actor=actor,
            action="billing_account.set_terms",
            target=account,
            tenant_id=account.owner_tenant_id,
            data={name: str(value) for name, value in changes.items()},
        )
    return account


def spend_limit_set(*, tenant_id: UUID, limit: Money | None, actor: Actor, by_payer: bool = False) -> TenantBilling:
    """The most that usage may come to in a billing period; None lifts the limit. Running work is not stopped by it.

    `by_payer` is set where a reseller limits its customer. BilledByReseller for that customer: the limit guards the
    reseller's money.
    """
    with transaction.atomic():
        billing = (
            TenantBilling.objects.select_for_update(of=("self",))
            .select_related("billing_account")
            .get(tenant_id=tenant_id)
        )
        if not by_payer and billing.billing_account.owner_tenant_id != tenant_id:
            raise BilledByReseller("Ask your reseller: it pays for this tenant and sets its limit.")
        if limit is not None and limit.currency != billing.billing_account.currency:
            raise CurrencyMismatch(f"This account is billed in {billing.billing_account.currency}.", field="limit")
        if limit is not None and limit.amount < 0:
            raise Invalid("A spend limit is not negative.", field="limit")
        billing.spend_limit = limit.amount if limit else None
        billing.save(update_fields=["spend_limit"])
        record(
            actor=actor,
            action="spend_limit.set",
            target=billing,
            tenant_id=tenant_id,
            data={"limit": limit.as_json() if limit else None},
        )
    return billing


def _account_of(owner_tenant_id: UUID, *, currency: str, email: str, discount_percent: Decimal) -> BillingAccount:
    BillingAccount.objects.bulk_create(
        [
            BillingAccount(
                owner_tenant_id=owner_tenant_id, currency=currency, email=email, discount_percent=discount_percent
            )
        ],
        ignore_conflicts=True,
    )
    return BillingAccount.objects.get(owner_tenant_id=owner_tenant_id)
