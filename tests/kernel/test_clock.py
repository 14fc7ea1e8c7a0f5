"""Business time can be moved where that is allowed, work is measured on the boot clock, leases on the database's."""

import time
from datetime import UTC, datetime, timedelta
from threading import Thread

import pytest
from django.core.exceptions import ImproperlyConfigured

from accounts.models import Tenant
from millrace.kernel import clock, valkey
from millrace.kernel.db import DbNow
from millrace.kernel.tenancy import platform_scope

AT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _back_again() -> None:
    yield
    clock.travel_back()


def test_now_is_aware_and_utc() -> None:
    assert clock.now().utcoffset() == timedelta(0)
    assert abs(clock.now() - datetime.now(UTC)) < timedelta(seconds=5)


def test_a_frozen_clock_stands_still_within_its_block_and_nests() -> None:
    with clock.frozen(AT):
        assert clock.now() == AT
        with clock.frozen(AT + timedelta(days=1)):
            assert clock.now() == AT + timedelta(days=1)
        assert clock.now() == AT

    assert clock.now() != AT


def test_freezing_one_thread_freezes_no_other() -> None:
    seen: list[datetime] = []

    with clock.frozen(AT):
        thread = Thread(target=lambda: seen.append(clock.now()))
        thread.start()
        thread.join()

    assert seen[0] != AT


def test_a_frozen_clock_needs_an_aware_time() -> None:
    with pytest.raises(ValueError, match="aware"), clock.frozen(datetime(2026, 1, 1)):
        pass


def test_travelling_moves_every_process_and_time_goes_on() -> None:
    clock.travel_to(AT)

    assert timedelta(0) <= clock.now() - AT < timedelta(seconds=5)
    stored = timedelta(microseconds=int(valkey.client().get("millrace:clock:offset_us")))
    assert abs(datetime.now(UTC) + stored - AT) < timedelta(seconds=5)
    time.sleep(0.01)
    assert clock.now() - AT > timedelta(milliseconds=10)


def test_a_move_made_elsewhere_is_seen_shortly_after(monkeypatch: pytest.MonkeyPatch) -> None:
    clock.now()
    valkey.client().set("millrace:clock:offset_us", int(timedelta(days=40) / timedelta(microseconds=1)))

    time.sleep(0.15)

    assert clock.now() - datetime.now(UTC) > timedelta(days=39)


def test_production_refuses_to_move_and_never_asks(settings) -> None:
    clock.travel_to(AT)
    settings.CLOCK_MOVABLE = False

    assert abs(clock.now() - datetime.now(UTC)) < timedelta(seconds=5)
    with pytest.raises(ImproperlyConfigured):
        clock.travel_to(AT)
    with pytest.raises(ImproperlyConfigured):
        clock.travel_back()
    settings.CLOCK_MOVABLE = True


def test_the_boot_clock_measures_durations_and_ignores_business_time() -> None:
    before = clock.boot_ms()
    clock.travel_to(AT)
    time.sleep(0.02)

    assert 20 <= clock.boot_ms() - before < 5000
    assert len(clock.boot_id()) == 36


def test_the_databases_clock_ignores_business_time_and_moves_within_a_transaction(tenant: Tenant) -> None:
    with clock.frozen(AT), platform_scope(reason="look"):
        first = Tenant.objects.annotate(now=DbNow()).values_list("now", flat=True).get()
        second = Tenant.objects.annotate(now=DbNow()).values_list("now", flat=True).get()

    assert abs(first - datetime.now(UTC)) < timedelta(minutes=1)
    assert second > first
