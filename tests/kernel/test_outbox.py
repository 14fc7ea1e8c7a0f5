"""News is delivered once to each consumer, whatever fails in between."""

from collections.abc import Iterator

import pytest

from accounts.models import Tenant
from millrace.kernel import clock, outbox
from millrace.kernel.ids import uuid7
from millrace.kernel.models import Delivery, OutboxEvent
from millrace.kernel.tenancy import platform_scope, tenant_scope


@pytest.fixture
def consumers() -> Iterator[dict]:
    before = {topic: list(found) for topic, found in outbox._consumers.items()}
    yield outbox._consumers
    outbox._consumers.clear()
    outbox._consumers.update(before)


def test_an_event_reaches_each_consumer_once(tenant: Tenant, consumers: dict) -> None:
    seen: list[str] = []
    outbox.subscribe("thing.happened", consumer="one")(lambda event: seen.append(f"one {event.payload['n']}"))
    outbox.subscribe("thing.happened", consumer="two")(lambda event: seen.append(f"two {event.payload['n']}"))
    with tenant_scope(tenant.pk):
        outbox.announce("thing.happened", tenant_id=tenant.pk, payload={"n": 1})

    outbox.drain()
    outbox.drain()

    assert seen == ["one 1", "two 1"]


def test_a_failing_consumer_holds_up_only_itself_and_is_retried(tenant: Tenant, consumers: dict) -> None:
    seen: list[str] = []
    broken = [True]

    def fragile(event: outbox.Event) -> None:
        Tenant.objects.filter(pk=event.tenant_id).update(name="half done")
        if broken[0]:
            raise RuntimeError("down")
        seen.append("fragile")

    outbox.subscribe("thing.happened", consumer="fragile")(fragile)
    outbox.subscribe("thing.happened", consumer="solid")(lambda event: seen.append("solid"))
    with tenant_scope(tenant.pk):
        outbox.announce("thing.happened", tenant_id=tenant.pk, payload={})
    outbox.drain()

    with platform_scope(reason="look"):
        row = OutboxEvent.objects.get(topic="thing.happened")
        assert row.done_at is None
        assert "down" in row.last_error
        assert Tenant.objects.get(pk=tenant.pk).name == "Acme Sensors"  # the half-done effect was undone
    broken[0] = False
    with clock.frozen(row.available_at):
        outbox.drain()

    assert seen == ["solid", "fragile"]
    assert Delivery.objects.filter(event=row).count() == 2


def test_what_the_commit_would_refuse_holds_up_nobody_else(real_db: None, tenant: Tenant, consumers: dict) -> None:
    seen: list[str] = []
    outbox.subscribe("thing.happened", consumer="dangling")(
        lambda event: Delivery.objects.create(consumer="elsewhere", event_id=uuid7())
    )
    outbox.subscribe("other.thing", consumer="solid")(lambda event: seen.append("solid"))
    with tenant_scope(tenant.pk):
        outbox.announce("thing.happened", tenant_id=tenant.pk, payload={})
        outbox.announce("other.thing", tenant_id=tenant.pk, payload={})

    outbox.drain()

    assert seen == ["solid"]
    with platform_scope(reason="look"):
        row = OutboxEvent.objects.get(topic="thing.happened")
        assert "IntegrityError" in row.last_error
        assert not Delivery.objects.filter(event=row).exists()


def test_news_of_a_failed_transaction_is_never_told(tenant: Tenant, consumers: dict) -> None:
    from django.db import transaction

    seen: list[str] = []
    outbox.subscribe("thing.happened", consumer="one")(lambda event: seen.append("told"))

    with pytest.raises(RuntimeError), transaction.atomic(), tenant_scope(tenant.pk):
        outbox.announce("thing.happened", tenant_id=tenant.pk, payload={})
        raise RuntimeError("no")
    outbox.drain()

    assert seen == []
