"""What a reseller does for its customers: it founds them, pays for them, and may stop them."""

from uuid import UUID

from django.conf import settings
from django.db import transaction

from accounts.errors import TenantStateRefused
from accounts.models import Tenant, TenantState
from accounts.roles import Role
from accounts.selectors import last_state_change
from accounts.services.invitations import invitation_create
from accounts.services.tenants import tenant_create, tenant_set_state
from billing.models import BillingAccount, TenantBilling
from billing.services.accounts import billing_account_ensure, spend_limit_set
from billing.stripe.subscriptions import state_owed
from channels_partners.models import Partner
from channels_partners.services.attributions import attribution_bind
from millrace.kernel import clock
from millrace.kernel.audit import Actor
from millrace.kernel.money import Money
from millrace.kernel.tenancy import platform_scope, tenant_scope

_BY_RESELLER = "reseller"


def reseller_tenant_create(*, partner: Partner, name: str, actor: Actor, owner_email: str = "") -> Tenant:
    """A new customer of the reseller, who pays for it at its wholesale rebate; its owner, if named, is invited.

    Payer and attribution are set at once, not when the news arrives, so that the customer is the reseller's from the
    first request on.
    """
    with transaction.atomic():
        context = {
            "reseller_tenant_id": str(partner.organisation_id),
            "reseller_partner_id": str(partner.pk),
            "reseller_discount_percent": str(partner.discount_percent),
        }
        tenant = tenant_create(name=name, owner=None, actor=actor, signup_context=context)
        billing_account_ensure(
            tenant_id=tenant.pk,
            actor=actor,
            reseller_tenant_id=partner.organisation_id,
            discount_percent=partner.discount_percent,
        )
        attribution_bind(
            tenant_id=tenant.pk,
            email="",
            user_id=None,
            visitor_id=None,
            coupon="",
            reseller_partner_id=partner.pk,
            at=clock.now(),
            actor=actor,
        )
        if owner_email:
            with tenant_scope(tenant.pk):
                invitation_create(tenant=tenant, email=owner_email, role=Role.OWNER, actor=actor, by_owner=True)
    return tenant


def reseller_tenant_suspend(*, tenant: Tenant, actor: Actor) -> Tenant:
    """Stop a customer: it can look and export, not use. Safe to repeat."""
    return tenant_set_state(tenant_id=tenant.pk, state=TenantState.SUSPENDED, actor=actor, reason=_BY_RESELLER)


def reseller_tenant_resume(*, tenant: Tenant, actor: Actor) -> Tenant:
    """Let a customer go on whom its reseller stopped: as its subscription stands by now, or else as it was before.

    Safe to repeat. TenantStateRefused where it was not a reseller who stopped it, or where its bill is unpaid.
    """
    with platform_scope(reason="a reseller's customers are other tenants"), transaction.atomic():
        locked = Tenant.objects.select_for_update(no_key=True).get(pk=tenant.pk)
        if locked.state != TenantState.SUSPENDED:
            return locked
        stopped = last_state_change(tenant.pk)
        if stopped is None or stopped.data["reason"] != _BY_RESELLER:
            raise TenantStateRefused("It was not you who suspended this customer: ask us.")
        state = state_owed(tenant.pk) or stopped.data["before"]
        if state == TenantState.SUSPENDED:
            raise TenantStateRefused("Pay its open invoice first.")
        return tenant_set_state(tenant_id=tenant.pk, state=state, actor=actor, reason=_BY_RESELLER)


def reseller_spend_limit_set(*, tenant_id: UUID, limit: Money | None, actor: Actor) -> Money | None:
    """The most that a customer's usage may come to in a billing period."""
    with tenant_scope(tenant_id):
        spend_limit_set(tenant_id=tenant_id, limit=limit, actor=actor, by_payer=True)
    return limit


def reseller_spend_limit(*, tenant_id: UUID) -> Money | None:
    """The limit in force; None for none."""
    with tenant_scope(tenant_id):
        billing = TenantBilling.objects.select_related("billing_account").get(tenant_id=tenant_id)
    limit = billing.spend_limit
    return None if limit is None else Money(limit, billing.billing_account.currency)


def reseller_currency(*, partner: Partner) -> str:
    """What the reseller is billed in: its account's currency, or the installation's until it has one."""
    account = BillingAccount.objects.filter(owner_tenant_id=partner.organisation_id).first()
    return account.currency if account else settings.BILLING_CURRENCY
