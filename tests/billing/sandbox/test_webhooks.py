"""Deliveries: signed, retried, and disturbed by seed."""

from typing import Any

import pytest

from billing.sandbox.chaos import Chaos
from billing.sandbox.testing import SandboxServer
from tests.billing.sandbox.conftest import WEBHOOK_SECRET, Receiver, sdk


def test_signed_events_arrive_with_the_object_as_it_was(server: SandboxServer, api: Any, receiver: Receiver) -> None:
    customer = api.customers.create({"email": "a@example.com"})
    api.customers.update(customer.id, {"email": "b@example.com"})

    server.flush()

    seen = {event.type: event for event in receiver.events}
    assert seen["customer.created"].data.object.email == "a@example.com"
    assert seen["customer.updated"].data.object.email == "b@example.com"
    assert seen["customer.updated"].data.previous_attributes.email == "a@example.com"
    event = api.events.retrieve(seen["customer.created"].id)
    assert (event.type, event.data.object.id) == ("customer.created", customer.id)
    assert [e.type for e in api.events.list({"type": "customer.updated"}).data] == ["customer.updated"]


def test_failed_delivery_is_tried_again(server: SandboxServer, api: Any, receiver: Receiver) -> None:
    receiver.answers = [500, 302, 200]

    api.customers.create({"email": "a@example.com"})
    server.flush()

    assert receiver.types() == ["customer.created"]
    answer = server.sandbox.webhooks
    assert (answer.sent, answer.failed_attempts) == (1, 2)


def test_endpoint_hears_only_what_it_asked_for(server: SandboxServer, api: Any, receiver: Receiver) -> None:
    for endpoint in api.webhook_endpoints.list().data:
        api.webhook_endpoints.delete(endpoint.id)
    made = api.webhook_endpoints.create({"url": receiver.url, "enabled_events": ["customer.deleted"]})
    server.sandbox.store.get("webhook_endpoint", made.id)["_secret"] = WEBHOOK_SECRET

    api.customers.delete(api.customers.create({"email": "a@example.com"}).id)
    server.flush()

    assert made.secret.startswith("whsec_")
    assert "secret" not in api.webhook_endpoints.retrieve(made.id)
    assert receiver.types() == ["customer.deleted"]


def _disturbed(receiver: Receiver, seed: int) -> list[str]:
    """The order in which ten customers' creations arrive under chaos."""
    receiver.events.clear()
    chaos = {"seed": seed, "double": 0.4, "reorder": 0.5}
    with SandboxServer(webhook_url=receiver.url, webhook_secret=WEBHOOK_SECRET, chaos=chaos) as running:
        for number in range(10):
            sdk(running).customers.create({"email": f"{number}@example.com"})
        running.flush()
    return [event.data.object.email for event in receiver.events]


def test_doubling_is_the_same_for_the_same_seed(receiver: Receiver) -> None:
    first, second, other = (sorted(_disturbed(receiver, seed)) for seed in (7, 7, 8))

    assert first == second != other
    assert len(first) > 10
    assert len(set(first)) == 10


def test_reordering_plan_is_the_same_for_the_same_seed() -> None:
    plans = [[Chaos(seed=seed, reorder=0.5).strikes("reorder", str(n)) for n in range(40)] for seed in (7, 7, 8)]

    assert plans[0] == plans[1] != plans[2]
    assert 10 < sum(plans[0]) < 30


def test_reordered_events_arrive_out_of_order_and_all_arrive(receiver: Receiver) -> None:
    seen = list(dict.fromkeys(_disturbed(receiver, 7)))

    assert sorted(seen) == [f"{number}@example.com" for number in range(10)]
    assert seen != sorted(seen)


def test_chaotic_failures_still_deliver_everything(receiver: Receiver) -> None:
    chaos = {"seed": 3, "fail": 0.6, "delay": 0.5, "delay_seconds": 0.2}
    with SandboxServer(webhook_url=receiver.url, webhook_secret=WEBHOOK_SECRET, chaos=chaos) as running:
        for number in range(20):
            sdk(running).customers.create({"email": f"{number}@example.com"})
        running.flush()

        assert running.sandbox.webhooks.failed_attempts > 0
    assert {event.data.object.email for event in receiver.events} == {f"{n}@example.com" for n in range(20)}


@pytest.mark.parametrize("setting", [{"double": 2}, {"tripple": 0.1}, {"seed": "x"}])
def test_nonsense_chaos_is_refused(setting: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        Chaos.parse(setting)


def test_endpoint_that_does_not_answer_holds_up_no_call(server: SandboxServer, api: Any, receiver: Receiver) -> None:
    receiver.answering.clear()

    for number in range(30):
        api.customers.create({"email": f"{number}@example.com"})

    assert server.sandbox.webhooks.pending() == 30  # none was waited for
    receiver.answering.set()
    server.flush()
    assert len(receiver.events) == 30


def test_flush_against_a_dead_endpoint_drops_nothing(server: SandboxServer, api: Any, receiver: Receiver) -> None:
    receiver.refuse_all = True
    api.customers.create({"email": "a@example.com"})

    assert server.sandbox.webhooks.flush(timeout=0.5) == 1

    receiver.refuse_all = False
    server.flush()
    assert receiver.types() == ["customer.created"]
