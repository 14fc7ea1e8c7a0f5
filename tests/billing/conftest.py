"""Billing's fixtures."""

from collections.abc import Iterator

import pytest

from billing.services.catalogue import catalogue_seed
from tests.billing.stripe_world import World, stripe_world


@pytest.fixture
def world(database: None) -> Iterator[World]:
    """Stripe, with the example catalogue for sale."""
    catalogue_seed()
    with stripe_world() as made:
        yield made
