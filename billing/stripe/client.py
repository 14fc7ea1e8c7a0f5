"""One client a process and address: pooled connections, retries with idempotency keys, bounded waits."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import stripe
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from billing.errors import PaymentServiceFailed

_TIMEOUT_SECONDS = (5, 30)
_RETRIES = 3


def client() -> stripe.StripeClient:
    """Stripe's client for the address and key in the settings."""
    if not settings.STRIPE_API_BASE:
        raise ImproperlyConfigured("STRIPE_API_BASE is empty: start the Stripe sandbox, or set the variable.")
    return _client(settings.STRIPE_SECRET_KEY, settings.STRIPE_API_BASE)


@cache
def _client(key: str, base: str) -> stripe.StripeClient:
    return stripe.StripeClient(
        key,
        base_addresses={"api": base},
        http_client=stripe.RequestsClient(timeout=_TIMEOUT_SECONDS),
        max_network_retries=_RETRIES,
    )


def plain(thing: stripe.StripeObject) -> dict[str, Any]:
    """A Stripe object as plain JSON values."""
    return thing.to_dict(for_json=True)


def once(key: str) -> Any:
    """Request options that make a creating call safe to repeat."""
    return {"idempotency_key": f"millrace:{key}"}


def is_missing(error: Exception) -> bool:
    """Whether Stripe says that the object does not exist (any more)."""
    return isinstance(error, stripe.InvalidRequestError) and error.code == "resource_missing"


@contextmanager
def for_the_caller() -> Iterator[None]:
    """Within the block, Stripe's refusals leave as a coded failure that a caller can read (502, or 402 for a card)."""
    try:
        yield
    except stripe.StripeError as error:
        message = error.user_message or "The payment service did not answer. Repeating the request is safe."
        raise PaymentServiceFailed(message, reason=error.code or type(error).__name__) from error
