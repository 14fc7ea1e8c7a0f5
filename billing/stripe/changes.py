"""Changes of a running subscription at Stripe. What a price means to us stands in the subscription's metadata."""

from datetime import datetime
from typing import Any

from billing.models import PriceVersion, Subscription
from billing.stripe.catalogue import item_for
from billing.stripe.client import client


def price_change(subscription: Subscription, price: PriceVersion, *, at_once: bool, effective_at: datetime) -> None:
    """Swap the subscription's price. `at_once`: prorated by the second onto the next invoice; else without any.

    A downgrade that waits has the cheaper price at Stripe already. Before an upgrade it is taken back, so that the
    difference is reckoned from the fee that was really paid.
    """
    if subscription.next_price is not None and price.pk != subscription.price_version_id:
        _swap(subscription, subscription.price_version, _pinned(subscription.price_version), "none")
    if price.pk == subscription.price_version_id:
        _swap(subscription, price, _pinned(price), "none")
    elif at_once:
        since = {"price_since": str(int(effective_at.timestamp()))}
        _swap(subscription, price, _pinned(price) | since, "create_prorations", effective_at)
    else:
        pinned = {"price_version_id": str(subscription.price_version_id)}
        waiting = pinned | {"next_price_version_id": str(price.pk), "next_price_at": str(int(effective_at.timestamp()))}
        _swap(subscription, price, waiting, "none")


def cancel_at_period_end(subscription: Subscription, wanted: bool) -> None:
    """End the subscription with its period, or go on after all."""
    client().v1.subscriptions.update(subscription.stripe_id, {"cancel_at_period_end": wanted})


def _pinned(price: PriceVersion) -> dict[str, str]:
    # An empty value removes a key from Stripe's metadata.
    return {"price_version_id": str(price.pk), "next_price_version_id": "", "next_price_at": ""}


def _swap(
    subscription: Subscription,
    price: PriceVersion,
    metadata: dict[str, str],
    prorations: str,
    at: datetime | None = None,
) -> None:
    item = item_for(price, subscription.billing_account) | {"id": subscription.stripe_item_id}
    params: dict[str, Any] = {"items": [item], "metadata": metadata, "proration_behavior": prorations}
    if at is not None:
        params["proration_date"] = int(at.timestamp())
    client().v1.subscriptions.update(subscription.stripe_id, params)  # type: ignore[arg-type]
