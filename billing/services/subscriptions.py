"""Changing and ending a subscription, so that nobody earns by it.

A dearer plan holds at once: the fee's difference for what remains of the period goes onto the next invoice (not onto
one of its own: M14), usage is rated by each plan for its part. A cheaper one holds from the next period on: nothing is
ever credited, so switching to and fro farms nothing (M8).
"""

from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from typing import Any
from uuid import UUID

from billing import pricing
from billing.errors import BilledByReseller, CurrencyMismatch, NotSubscribed, PlanUnknown
from billing.models import PriceVersion, Subscription
from billing.selectors.plans import live_subscription
from billing.stripe import changes
from billing.stripe.catalogue import fee_of
from billing.stripe.client import for_the_caller
from billing.stripe.subscriptions import subscription_sync
from millrace.kernel import clock
from millrace.kernel.audit import Actor, record
from millrace.kernel.errors import Conflict
from millrace.kernel.money import Money, step
from millrace.kernel.tenancy import platform_scope


@dataclass(frozen=True, slots=True)
class Change:
    """What a change of plan would do: from when it holds, and what it adds to the next invoice now."""

    price: PriceVersion
    effective_at: datetime
    charge: Money
    next_fee: Money
    is_upgrade: bool


def subscription_preview(*, tenant_id: UUID, price_id: UUID, now: datetime | None = None) -> Change:
    """What changing to that price would cost and when it would hold. Nothing is changed."""
    subscription, price = _choice(tenant_id, price_id)
    return _change(subscription, price, now or clock.now())


def subscription_change(*, tenant_id: UUID, price_id: UUID, actor: Actor) -> Subscription:
    """Change the plan: at once when it is dearer, at the period's end when it is cheaper. Safe to repeat."""
    subscription, price = _choice(tenant_id, price_id)
    if (subscription.next_price_id or subscription.price_version_id) == price.pk:
        return subscription
    with for_the_caller():
        # A renewal that we have not heard of yet would date a change for "the period's end" into the past.
        subscription = _synced(subscription)
        change = _change(subscription, price, clock.now())
        changes.price_change(subscription, price, at_once=change.is_upgrade, effective_at=change.effective_at)
        changed = _synced(subscription)
    data = {"price": price.public_id, "at": change.effective_at.isoformat(), "charge": change.charge.amount}
    record(actor=actor, action="subscription.change", target=changed, tenant_id=tenant_id, data=data)
    return changed


def subscription_cancel(*, tenant_id: UUID, actor: Actor, at_period_end: bool = True) -> Subscription:
    """End the subscription when its period ends; False takes that back. Safe to repeat."""
    subscription = _live(tenant_id)
    if subscription.cancel_at_period_end == at_period_end:
        return subscription
    with for_the_caller():
        changes.cancel_at_period_end(subscription, at_period_end)
        changed = _synced(subscription)
    action = "subscription.cancel" if at_period_end else "subscription.resume"
    record(actor=actor, action=action, target=changed, tenant_id=tenant_id)
    return changed


def _live(tenant_id: UUID) -> Subscription:
    subscription = live_subscription(tenant_id)
    if subscription is None:
        raise NotSubscribed("Subscribe first: POST /v1/checkout-sessions.")
    if subscription.billing_account.owner_tenant_id != tenant_id:
        raise BilledByReseller("Ask your reseller: it pays for this tenant and manages its plan.")
    return subscription


def _choice(tenant_id: UUID, price_id: UUID) -> tuple[Subscription, PriceVersion]:
    subscription = _live(tenant_id)
    price = PriceVersion.objects.select_related("plan").filter(pk=price_id, retired_at__isnull=True).first()
    if price is None or not price.is_paid:
        raise PlanUnknown("There is no such price for sale.", field="price")
    if price.currency != subscription.price_version.currency:
        raise CurrencyMismatch(f"This subscription is in {subscription.price_version.currency}.", field="price")
    if (
        price.interval != subscription.price_version.interval
        or price.anchor_day != subscription.price_version.anchor_day
    ):
        raise Conflict("Cancel and subscribe anew to change to another billing calendar.", field="price")
    return subscription, price


def _change(subscription: Subscription, price: PriceVersion, now: datetime) -> Change:
    rebate = subscription.billing_account.discount_percent
    current, wanted = fee_of(subscription.price_version, rebate), fee_of(price, rebate)
    is_upgrade = _worth(price) > _worth(subscription.price_version)
    charge = 0
    if is_upgrade and subscription.status != "trialing":
        charge = pricing.upgrade_charge(current, wanted, _remaining(subscription, now), step(price.currency))
    effective_at = now.replace(microsecond=0) if is_upgrade else subscription.current_period_end
    if price.pk == subscription.price_version_id:
        effective_at = now.replace(microsecond=0)
    currency = price.currency
    return Change(price, effective_at, Money(charge, currency), Money(wanted, currency), is_upgrade)


def _worth(price: PriceVersion) -> tuple[int, int, int]:
    """What makes a plan dearer than another: the least that a period of it comes to, then its rank."""
    return price.recurring_amount + price.minimum_commitment, price.plan.rank, price.version


def _remaining(subscription: Subscription, now: datetime) -> Fraction:
    whole = int((subscription.current_period_end - subscription.current_period_start).total_seconds())
    left = int((subscription.current_period_end - now.replace(microsecond=0)).total_seconds())
    return Fraction(max(0, min(left, whole)), whole or 1)


def _synced(subscription: Subscription) -> Subscription:
    with platform_scope(reason="mirrors of Stripe are the platform's"):
        changed: Any = subscription_sync(subscription.stripe_id)
        return Subscription.objects.select_related("price_version__plan", "next_price__plan").get(pk=changed.pk)
