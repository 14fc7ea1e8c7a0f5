"""How fast usage is taken, beside the least that PostgreSQL asks for the same rows."""

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from django.db import connection

from accounts.models import Tenant
from billing.models import UsageEvent
from billing.services.catalogue import catalogue_seed
from billing.services.usage import meter_register
from millrace.kernel import clock
from millrace.kernel.ids import uuid7
from millrace.kernel.tenancy import platform_scope, tenant_scope
from tests.billing.factories import make_billing
from tests.factories import SYSTEM, ApiClient

BATCHES, SIZE = 10, 1000


@pytest.mark.slow
@pytest.mark.usefixtures("uncompared")
def test_the_door_takes_at_least_half_of_what_plain_inserts_take(
    real_db: None, api: ApiClient, tenant: Tenant, record_property: object
) -> None:
    catalogue_seed()
    make_billing(tenant)
    with tenant_scope(tenant.pk):
        meter_register(tenant_id=tenant.pk, name="stamps", actor=SYSTEM)
    now = clock.now().isoformat()
    send(api, body("warm", now))

    # In turns, so that whatever else the machine does weighs on both; the best turn of each counts.
    door, plain = [], []
    for turn in range(BATCHES):
        sent = body(f"d{turn}", now)
        door.append(seconds(lambda sent=sent: send(api, sent)))
        plain.append(seconds(lambda turn=turn: plain_insert(tenant, f"p{turn}")))

    rate, bound = SIZE / min(door), SIZE / min(plain)
    record_property("events_per_second", round(rate))
    print(f"\ndoor {rate:,.0f} events/s, plain INSERT … ON CONFLICT {bound:,.0f} rows/s: {rate / bound:.2f}")  # noqa: T201
    with platform_scope(reason="count"):
        assert UsageEvent.objects.count() == (2 * BATCHES + 1) * SIZE
    assert rate >= 0.5 * bound


def body(prefix: str, now: str) -> bytes:
    events = [
        {"meter": "own:stamps", "quantity": 1, "occurred_at": now, "idempotency_key": f"{prefix}-{number}"}
        for number in range(SIZE)
    ]
    return json.dumps({"events": events}).encode()


def send(api: ApiClient, sent: bytes) -> None:
    answer = api.client.post("/v1/usage-events", sent, content_type="application/json", headers=api.headers)
    assert answer.content.startswith(b'{"accepted":%d,' % SIZE), answer.content[:200]


def seconds(run: Callable[[], None]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def plain_insert(tenant: Tenant, prefix: str) -> None:
    """The same rows written as plainly as can be: one statement a thousand rows, each column an array."""
    at = datetime.now(UTC)
    with tenant_scope(tenant.pk), connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO billing_usageevent (id, created_at, tenant_id, meter, quantity, occurred_at, key, properties) "
            "SELECT id, %s, %s, meter, quantity, occurred_at, key, properties::jsonb FROM unnest(%s::uuid[], "
            "%s::text[], %s::bigint[], %s::timestamptz[], %s::text[], %s::text[]) "
            "AS fresh (id, meter, quantity, occurred_at, key, properties) ON CONFLICT (tenant_id, key) DO NOTHING",
            [
                at,
                tenant.pk,
                [uuid7() for _ in range(SIZE)],
                ["own:stamps"] * SIZE,
                [1] * SIZE,
                [at] * SIZE,
                [f"{prefix}-{number}" for number in range(SIZE)],
                ["{}"] * SIZE,
            ],
        )
