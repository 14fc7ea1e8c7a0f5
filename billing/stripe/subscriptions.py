"""The mirror of subscriptions: status, period, and which price holds from when."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import transaction

from accounts.models import Tenant, TenantState
from accounts.selectors import last_state_change
from accounts.services.tenants import tenant_set_state
from billing.models import (
    PriceVersion,
    StripeEvent,
    Subscription,
    SubscriptionPhase,
    SubscriptionStatus,
    TenantBilling,
)
from billing.stripe.client import client, plain
from billing.stripe.handlers import Ignored
from billing.stripe.mirrors import certain, ident, mirror_lock, moment, uuid_in
from millrace.kernel import outbox
from millrace.kernel.audit import Actor

_ACTOR = Actor.system("stripe")
_STATE_OF = {
    SubscriptionStatus.TRIALING: TenantState.TRIALING,
    SubscriptionStatus.ACTIVE: TenantState.ACTIVE,
    SubscriptionStatus.PAST_DUE: TenantState.PAST_DUE,
    SubscriptionStatus.UNPAID: TenantState.SUSPENDED,
    SubscriptionStatus.PAUSED: TenantState.SUSPENDED,
}
ENDED = (SubscriptionStatus.CANCELED, SubscriptionStatus.INCOMPLETE_EXPIRED)


def on_subscription(event: StripeEvent) -> None:
    """A subscription began, changed or ended."""
    subscription = subscription_sync(event.object_id)
    if subscription.status == SubscriptionStatus.CANCELED:
        from billing.stripe.invoicing import final_invoice_ensure

        final_invoice_ensure(subscription)


def on_checkout_completed(event: StripeEvent) -> None:
    """Somebody subscribed through Checkout."""
    stripe_id = ident(event.payload["data"]["object"].get("subscription"))
    if not stripe_id:
        raise Ignored("the session bought no subscription")
    subscription_sync(stripe_id)


def subscription_sync(stripe_id: str) -> Subscription:
    """Bring our mirror up to Stripe's present state; announce what changed. Runs in the platform's scope."""
    with transaction.atomic():
        mirror_lock(stripe_id)
        found = plain(client().v1.subscriptions.retrieve(stripe_id))
        known = Subscription.objects.select_related("price_version__plan").filter(stripe_id=stripe_id).first()
        before = _told(known) if known else None
        subscription = _upsert(found, known)
        after = _told(subscription)
        if before != after:
            payload = after | {"subscription_id": str(subscription.pk), "before": before}
            outbox.announce("subscription.changed", tenant_id=subscription.tenant_id, payload=payload)
            _follow(subscription, before["status"] if before else "", found)
    return subscription


def _upsert(found: dict[str, Any], known: Subscription | None) -> Subscription:
    metadata = found["metadata"] or {}
    tenant_id = known.tenant_id if known else uuid_in(metadata, "tenant_id")
    if tenant_id is None:
        raise Ignored("the subscription names no tenant of ours")
    billing = TenantBilling.objects.select_related("billing_account").filter(tenant_id=tenant_id).first()
    if billing is None:
        raise Ignored("the subscription names no tenant of ours")
    if billing.billing_account.stripe_customer_id not in (None, ident(found["customer"])) and known is None:
        raise Ignored("the subscription's customer does not pay for that tenant")
    price = _price(uuid_in(metadata, "price_version_id"), known)
    item = found["items"]["data"][0]
    following, following_at = _following(metadata)
    since: datetime | None
    if following and following_at and certain(item["current_period_start"]) >= following_at:
        price, since = following, following_at
        following = following_at = None
    else:
        since = moment(int(metadata["price_since"])) if metadata.get("price_since") else None
    values = {
        "tenant_id": tenant_id,
        "billing_account": known.billing_account if known else billing.billing_account,
        "price_version": price,
        "next_price": following,
        "next_price_at": following_at,
        "status": found["status"],
        "started_at": certain(found["start_date"]),
        "trial_end": moment(found["trial_end"]),
        "current_period_start": certain(item["current_period_start"]),
        "current_period_end": certain(item["current_period_end"]),
        "cancel_at_period_end": found["cancel_at_period_end"],
        "canceled_at": moment(found["canceled_at"]),
        "ended_at": moment(found["ended_at"]),
        "stripe_item_id": item["id"],
    }
    subscription, _ = Subscription.objects.update_or_create(stripe_id=found["id"], defaults=values)
    _phase(subscription, price, since)
    return subscription


def _following(metadata: dict[str, Any]) -> tuple[PriceVersion | None, datetime | None]:
    """The cheaper price that waits, and for when."""
    price_id = uuid_in(metadata, "next_price_version_id")
    price = PriceVersion.objects.select_related("plan").filter(pk=price_id).first() if price_id else None
    return (price, certain(int(metadata["next_price_at"]))) if price else (None, None)


def _price(price_id: UUID | None, known: Subscription | None) -> PriceVersion:
    price = PriceVersion.objects.select_related("plan").filter(pk=price_id).first() if price_id else None
    if price is None and known is not None:
        return known.price_version
    if price is None:
        raise Ignored("the subscription names no price of ours")
    return price


def _phase(subscription: Subscription, price: PriceVersion, since: Any) -> None:
    """Write down from when the price holds; the history is what usage is rated by."""
    latest = subscription.phases.order_by("-starts_at").first()
    if latest is None:
        starts_at = subscription.started_at
    elif latest.price_version_id == price.pk:
        return
    else:
        # Two changes within a second come one after the other, too: Stripe's times are whole seconds.
        starts_at = max(since or subscription.current_period_start, latest.starts_at + timedelta(microseconds=1))
    phase = SubscriptionPhase(
        tenant_id=subscription.tenant_id, subscription=subscription, price_version=price, starts_at=starts_at
    )
    SubscriptionPhase.objects.bulk_create([phase], ignore_conflicts=True)


def _told(subscription: Subscription) -> dict[str, Any]:
    """What `subscription.changed` tells: amounts in minor units, per interval, before any coupon and tax."""
    price = subscription.price_version
    return {
        "tenant_id": str(subscription.tenant_id),
        "status": str(subscription.status),
        "plan": price.plan.code,
        "price_version_id": str(price.pk),
        "recurring_amount": price.recurring_amount,
        "currency": price.currency,
        "interval": str(price.interval),
        "cancel_at_period_end": subscription.cancel_at_period_end,
        "current_period_end": subscription.current_period_end.isoformat(),
    }


def _follow(subscription: Subscription, before: str, found: dict[str, Any]) -> None:
    """Move the tenant's state along with its subscription's status; what staff or a reseller suspended, and
    what is closed, stays so."""
    if before == subscription.status or _superseded(subscription):
        return
    tenant = subscription.tenant
    unpaid = (found.get("cancellation_details") or {}).get("reason") in ("payment_failed", "payment_disputed")
    wanted = _STATE_OF.get(SubscriptionStatus(subscription.status))
    if subscription.status == SubscriptionStatus.CANCELED:
        wanted = TenantState.PAST_DUE if unpaid else TenantState.ACTIVE  # the free plan is left to it
    if wanted is None or tenant.state == TenantState.CLOSED or _suspended_by_others(tenant):
        return
    if wanted == TenantState.TRIALING and tenant.state == TenantState.PAST_DUE:
        wanted = TenantState.ACTIVE
    tenant_set_state(
        tenant_id=subscription.tenant_id, state=wanted, actor=_ACTOR, reason=f"subscription {subscription.status}"
    )


def state_owed(tenant_id: UUID) -> TenantState | None:
    """What the tenant's running subscription makes of its state; None without one. Runs in the platform's scope."""
    running = Subscription.objects.filter(tenant_id=tenant_id).exclude(status__in=ENDED)
    latest = running.order_by("-started_at").first()
    return _STATE_OF.get(SubscriptionStatus(latest.status)) if latest else None


def _suspended_by_others(tenant: Tenant) -> bool:
    last = last_state_change(tenant.pk) if tenant.state == TenantState.SUSPENDED else None
    return last is not None and last.actor != str(_ACTOR)


def _superseded(subscription: Subscription) -> bool:
    newer = Subscription.objects.filter(tenant_id=subscription.tenant_id, started_at__gt=subscription.started_at)
    return newer.exclude(status__in=ENDED).exists()
