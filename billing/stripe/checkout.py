"""Checkout and the billing portal: Stripe's own pages, opened for one tenant."""

import logging
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import stripe

from billing.models import BillingAccount, PriceVersion
from billing.selectors.plans import has_subscribed
from billing.stripe.catalogue import item_for
from billing.stripe.client import client, once
from billing.stripe.customers import customer_ensure, tax_rates

logger = logging.getLogger(__name__)


def session_create(
    *,
    tenant_id: UUID,
    account: BillingAccount,
    price: PriceVersion,
    success_url: str,
    cancel_url: str,
    now: datetime,
    key: str,
) -> tuple[str, str]:
    """A Checkout session that subscribes the tenant, paid by `account`: its id and the page's address.

    The tenant's other open ones are closed, so that two pages side by side cannot be paid both.
    """
    params: dict[str, Any] = {
        "mode": "subscription",
        "customer": customer_ensure(account),
        "client_reference_id": str(tenant_id),
        "line_items": [item_for(price, account)],
        "subscription_data": subscription_data(tenant_id, account, price, now),
        "success_url": success_url,
        "cancel_url": cancel_url,
        "allow_promotion_codes": True,
    }
    made = client().v1.checkout.sessions.create(params, once(f"checkout:{key}"))  # type: ignore[arg-type]
    _close_others(params["customer"], str(tenant_id), made.id)
    return made.id, made.url or ""


def _close_others(customer: str, tenant: str, kept: str) -> None:
    sessions = client().v1.checkout.sessions
    for other in sessions.list({"customer": customer, "status": "open", "limit": 100}).auto_paging_iter():
        if other.id == kept or other.client_reference_id != tenant:
            continue
        try:
            sessions.expire(other.id)
        except stripe.InvalidRequestError as error:  # paid or closed a moment ago
            logger.info("The session %s cannot be closed: %s", other.id, error)


def subscription_create(
    *, tenant_id: UUID, account: BillingAccount, price: PriceVersion, now: datetime, key: str, days_until_due: int = 0
) -> str:
    """A subscription without a visit to Checkout: on the account's saved card, or by invoice with `days_until_due`."""
    params: dict[str, Any] = {"customer": customer_ensure(account), "items": [item_for(price, account)]}
    params |= subscription_data(tenant_id, account, price, now)
    if days_until_due:
        params |= {"collection_method": "send_invoice", "days_until_due": days_until_due}
    else:
        params["payment_behavior"] = "error_if_incomplete"
    return client().v1.subscriptions.create(params, once(f"subscription:{key}")).id  # type: ignore[arg-type]


def subscription_data(tenant_id: UUID, account: BillingAccount, price: PriceVersion, now: datetime) -> dict[str, Any]:
    """What a new subscription carries: whose it is, which price it pins, its tax, its calendar."""
    data: dict[str, Any] = {"metadata": {"tenant_id": str(tenant_id), "price_version_id": str(price.pk)}}
    if rates := tax_rates(account):
        data["default_tax_rates"] = rates
    if price.anchor_day is not None:
        # Nothing is charged before the day on which all renew together; usage counts from the first moment.
        data |= {
            "billing_cycle_anchor": int(next_anchor(now, price.anchor_day).timestamp()),
            "proration_behavior": "none",
        }
    elif price.trial_days and not has_subscribed(tenant_id):
        data["trial_period_days"] = price.trial_days
    return data


def next_anchor(now: datetime, day: int) -> datetime:
    """The next midnight (UTC) of that day of a month, later than `now`; days up to 28 are in every month."""
    anchor = now.replace(day=day, hour=0, minute=0, second=0, microsecond=0)
    if anchor > now:
        return anchor
    return (anchor.replace(day=1) + timedelta(days=32)).replace(day=day)


def portal_create(*, account: BillingAccount, return_url: str) -> str:
    """The address of Stripe's billing portal for the payer: cards, invoices, details."""
    params: dict[str, Any] = {"customer": customer_ensure(account), "return_url": return_url}
    return client().v1.billing_portal.sessions.create(params).url  # type: ignore[arg-type]
