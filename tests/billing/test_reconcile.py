"""`manage.py reconcile` passes on sound books and names what was tampered with."""

import io
import json
from datetime import UTC, datetime, timedelta

import pytest
from django.core.management import call_command
from django.db import connections

from accounts.models import Tenant
from billing import reconcile
from billing.models import Invoice, InvoiceLine, UsageEvent
from millrace.kernel.tenancy import platform_scope
from tests.billing.stripe_world import World
from tests.billing.test_flow import RENEWAL, START, use


@pytest.fixture
def books(world: World, tenant: Tenant) -> Tenant:
    world.account(tenant)
    world.subscribe(tenant, "starter")
    use(tenant, "gpu_ms", 3_600_000, START + timedelta(days=3))
    world.advance(RENEWAL)
    use(tenant, "gpu_ms", 5, datetime(2026, 2, 11, tzinfo=UTC))
    return tenant


def report(*names: str) -> tuple[int, dict]:
    out = io.StringIO()
    try:
        call_command("reconcile", "--json", "--only", *names, stdout=out)
        code = 0
    except SystemExit as exit:
        code = exit.code
    return code, json.loads(out.getvalue())


def test_sound_books_have_no_differences(books: Tenant) -> None:
    code, found = report("R2", "R3", "R4")

    assert (code, found["ok"]) == (0, True), found
    assert [check["checked"] for check in found["checks"]] == [2, 2, 2]


def test_a_lost_event_is_named(real_db: None, books: Tenant) -> None:
    with platform_scope(reason="test"):
        event = UsageEvent.objects.get(invoice_line__isnull=False)
    tamper(f"UPDATE billing_usageevent SET quantity = quantity + 1 WHERE id = '{event.pk}'")

    code, found = report("R2")

    assert code == 1
    assert "3600000 gpu_ms; its events are 3600001" in found["checks"][0]["differences"][0]


def test_an_altered_line_and_an_event_passed_over_are_named(real_db: None, books: Tenant) -> None:
    with platform_scope(reason="test"):
        line = InvoiceLine.objects.get(meter="gpu_ms")
    tamper(f"UPDATE billing_invoiceline SET amount = amount + 1 WHERE id = '{line.pk}'")
    tamper(f"UPDATE billing_usageevent SET invoice_line_id = NULL WHERE invoice_line_id = '{line.pk}'")

    code, found = report("R2", "R3")

    assert code == 1
    text = json.dumps(found)
    assert "is not the total" in text
    assert "its events are 0" in text
    assert "was there when its period was billed, and is on no invoice" in text


def test_usage_on_an_invoice_that_was_thrown_away_is_named(books: Tenant) -> None:
    with platform_scope(reason="test"):
        line = InvoiceLine.objects.get(meter="gpu_ms")
        Invoice.objects.filter(pk=line.invoice_id).update(status="deleted")

    code, found = report("R2")

    assert code == 1
    assert "or of no invoice" in json.dumps(found)


def test_the_table_is_for_people(books: Tenant) -> None:
    out = io.StringIO()

    call_command("reconcile", "--only", "R2", "R3", "R4", stdout=out)

    assert "every ledger transaction sums to zero" in out.getvalue()


def tamper(sql: str) -> None:
    """What no role of the application may do: the tables' owner takes their triggers off."""
    switch("DISABLE")
    with platform_scope(reason="test"), connections["default"].cursor() as cursor:
        cursor.execute(sql)
    switch("ENABLE")


def switch(verb: str) -> None:
    with connections["owner"].cursor() as cursor:
        for table in ("billing_usageevent", "billing_invoiceline"):
            cursor.execute(f"ALTER TABLE {table} {verb} TRIGGER USER")


def test_the_checks_are_pure_reads(books: Tenant) -> None:
    with platform_scope(reason="test"):
        first = [check() for check in (reconcile.r2, reconcile.r3, reconcile.r4)]
        assert first == [check() for check in (reconcile.r2, reconcile.r3, reconcile.r4)]
