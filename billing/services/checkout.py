"""Buying: sessions of Stripe's own pages for a tenant."""

from dataclasses import dataclass
from uuid import UUID, uuid4

from django.conf import settings

from billing.errors import AlreadySubscribed, BilledByReseller, PlanUnknown
from billing.models import PriceVersion, Subscription, TenantBilling
from billing.selectors.plans import live_subscription, plan_price
from billing.selectors.spending import billing_of
from billing.stripe import checkout
from billing.stripe.client import for_the_caller
from billing.stripe.subscriptions import subscription_sync
from millrace.kernel import clock
from millrace.kernel.audit import Actor, record
from millrace.kernel.tenancy import platform_scope


@dataclass(frozen=True, slots=True)
class CheckoutSession:
    """A page at Stripe to send the buyer to."""

    id: str
    url: str
    price: PriceVersion


def checkout_session_create(
    *,
    tenant_id: UUID,
    actor: Actor,
    plan: str = "",
    price_id: UUID | None = None,
    success_url: str = "",
    cancel_url: str = "",
    key: str = "",
    by_payer: bool = False,
) -> CheckoutSession:
    """Open Checkout for a plan (its newest price) or a price version. Runs in the tenant's scope.

    `key` makes it safe to repeat. `by_payer` is set where a reseller buys for its customer; a customer of a reseller
    cannot subscribe by itself.
    """
    billing, price = _sale(tenant_id, plan, price_id, by_payer)
    with for_the_caller():
        session_id, url = checkout.session_create(
            tenant_id=tenant_id,
            account=billing.billing_account,
            price=price,
            success_url=success_url or f"{settings.PUBLIC_BASE_URL}/billing?checkout=done",
            cancel_url=cancel_url or f"{settings.PUBLIC_BASE_URL}/billing?checkout=canceled",
            now=clock.now(),
            key=f"{tenant_id}:{key or uuid4()}",
        )
    record(
        actor=actor,
        action="checkout.create",
        target=session_id,
        tenant_id=tenant_id,
        data={"price": price.public_id, "plan": price.plan.code},
    )
    return CheckoutSession(session_id, url, price)


def subscription_start(
    *, tenant_id: UUID, plan: str, actor: Actor, key: str, days_until_due: int = 0, by_payer: bool = False
) -> Subscription:
    """Subscribe a tenant without Checkout: on the payer's saved card, or by invoice with `days_until_due` days to pay."""
    billing, price = _sale(tenant_id, plan, None, by_payer)
    with for_the_caller():
        stripe_id = checkout.subscription_create(
            tenant_id=tenant_id,
            account=billing.billing_account,
            price=price,
            now=clock.now(),
            key=f"{tenant_id}:{key}",
            days_until_due=days_until_due,
        )
        with platform_scope(reason="mirrors of Stripe are the platform's"):
            subscription = subscription_sync(stripe_id)
    record(
        actor=actor,
        action="subscription.start",
        target=subscription,
        tenant_id=tenant_id,
        data={"plan": price.plan.code},
    )
    return subscription


def portal_session_create(*, tenant_id: UUID, actor: Actor, return_url: str = "") -> str:
    """The address of Stripe's billing portal for the tenant's own account."""
    billing = _own(billing_of(tenant_id), by_payer=False)
    with for_the_caller():
        url = checkout.portal_create(
            account=billing.billing_account, return_url=return_url or f"{settings.PUBLIC_BASE_URL}/billing"
        )
    record(actor=actor, action="billing_portal.create", target=billing, tenant_id=tenant_id)
    return url


def _sale(tenant_id: UUID, plan: str, price_id: UUID | None, by_payer: bool) -> tuple[TenantBilling, PriceVersion]:
    billing = _own(billing_of(tenant_id), by_payer=by_payer)
    currency = billing.billing_account.currency
    if price_id is not None:
        found = PriceVersion.objects.select_related("plan").filter(
            pk=price_id, currency=currency, retired_at__isnull=True
        )
        price = found.first()
    else:
        price = plan_price(plan, currency)
    if price is None or not price.is_paid:
        raise PlanUnknown(f"There is no such plan for sale in {currency}.", field="plan" if plan else "price")
    if live_subscription(tenant_id) is not None:
        raise AlreadySubscribed("Change the plan instead: PATCH /v1/subscription.")
    return billing, price


def _own(billing: TenantBilling, *, by_payer: bool) -> TenantBilling:
    if not by_payer and billing.billing_account.owner_tenant_id != billing.tenant_id:
        raise BilledByReseller("Ask your reseller: it pays for this tenant and manages its plan.")
    return billing
