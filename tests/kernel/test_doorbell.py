"""Doorbells: many rings, one message; and never none while there is something to find."""

import pytest
import redis
from celery import current_app

from millrace.kernel import doorbell, valkey

QUEUE = "platform"


@doorbell.answers("tests.look")
def look() -> None:
    """Somebody commits and rings while the task is looking."""
    doorbell.ring(look)


def messages() -> int:
    with current_app.connection_for_read() as connection:
        return connection.default_channel.queue_declare(QUEUE, passive=True).message_count


def test_many_rings_are_one_message() -> None:
    for _ in range(20):
        doorbell.ring(look)

    assert messages() == 1


def test_who_rings_while_somebody_looks_is_looked_for_again() -> None:
    doorbell.ring(look)

    look()

    assert messages() == 2


def test_a_ring_whose_message_was_lost_does_not_silence_the_bell_for_long() -> None:
    doorbell.ring(look)

    assert 0 < valkey.client().ttl("doorbell:tests.look") <= 5


def test_it_is_looked_without_valkey_too(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[str] = []

    @doorbell.answers("tests.look_alone")
    def answer() -> None:
        looked.append("looked")

    with monkeypatch.context() as away:
        away.setattr(valkey, "client", lambda: redis.Redis(port=9, socket_connect_timeout=1))
        answer()

    assert looked == ["looked"]
