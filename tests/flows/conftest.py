"""Stories need a Stripe."""

from tests.billing.conftest import world

__all__ = ["world"]
