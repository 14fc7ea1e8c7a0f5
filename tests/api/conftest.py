"""The test's own doors beside the product's."""

from collections.abc import Callable, Iterator

import pytest

from tests.api import doors


@pytest.fixture(autouse=True)
def _doors(settings) -> None:
    settings.ROOT_URLCONF = "tests.api.doors"


@pytest.fixture
def act() -> Iterator[Callable]:
    """`act(function)` makes `function(view)` what POST /v1/test/act and /v1/test/outward do."""
    original = doors.Act.act

    def choose(function: Callable) -> None:
        doors.Act.act = function

    yield choose
    doors.Act.act = original
