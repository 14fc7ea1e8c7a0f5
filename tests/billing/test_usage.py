"""Usage is recorded exactly once by (tenant, key)."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from django.db import transaction
from django.db.utils import InternalError, ProgrammingError

from accounts.models import Tenant
from billing.errors import UsageInvalid
from billing.models import UsageEvent
from billing.services import usage
from billing.services.usage import Usage, usage_record, usage_record_many
from millrace.kernel import clock
from millrace.kernel.tenancy import platform_scope, tenant_scope
from tests.threads import in_threads

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _scope(tenant: Tenant) -> Iterator[None]:
    with tenant_scope(tenant.pk):
        yield


def event(name: str, **changes: object) -> Usage:
    return Usage(**({"meter": "cpu_ms", "quantity": 5, "occurred_at": AT, "key": name} | changes))


def test_the_same_key_is_recorded_once(tenant: Tenant) -> None:
    first = usage_record(tenant_id=tenant.pk, meter="cpu_ms", quantity=5, occurred_at=AT, key="a")
    again = usage_record(tenant_id=tenant.pk, meter="cpu_ms", quantity=5, occurred_at=AT, key="a")

    assert (first.status, again.status, again.differs) == ("accepted", "duplicate", False)
    assert UsageEvent.objects.count() == 1


def test_a_key_reused_for_something_else_keeps_the_first_and_says_so(tenant: Tenant) -> None:
    usage_record(tenant_id=tenant.pk, meter="cpu_ms", quantity=5, occurred_at=AT, key="a")
    again = usage_record(tenant_id=tenant.pk, meter="cpu_ms", quantity=6, occurred_at=AT, key="a")

    assert (again.status, again.differs) == ("duplicate", True)
    assert UsageEvent.objects.get().quantity == 5


def test_m1_a_failed_write_leaves_the_key_free(tenant: Tenant) -> None:
    with pytest.raises(RuntimeError), transaction.atomic():
        usage_record(tenant_id=tenant.pk, meter="cpu_ms", quantity=5, occurred_at=AT, key="a")
        raise RuntimeError("the write after it failed")

    retry = usage_record(tenant_id=tenant.pk, meter="cpu_ms", quantity=5, occurred_at=AT, key="a")

    assert retry.status == "accepted"
    assert UsageEvent.objects.count() == 1


def test_m2_a_known_key_in_a_batch_neither_rejects_nor_doubles_it(tenant: Tenant) -> None:
    usage_record(tenant_id=tenant.pk, meter="cpu_ms", quantity=5, occurred_at=AT, key="a")

    answers = usage_record_many(tenant_id=tenant.pk, events=[event("a"), event("b"), event("b"), event("c")])

    assert [answer.status for answer in answers] == ["duplicate", "accepted", "duplicate", "accepted"]
    assert sorted(UsageEvent.objects.values_list("key", flat=True)) == ["a", "b", "c"]


def test_t7_two_tenants_may_use_the_same_key(tenant: Tenant, charlie: object) -> None:
    usage_record(tenant_id=tenant.pk, meter="cpu_ms", quantity=5, occurred_at=AT, key="a")
    with platform_scope(reason="the other tenant"):
        other = Tenant.objects.exclude(pk=tenant.pk).get()
    with tenant_scope(other.pk):
        answer = usage_record(tenant_id=other.pk, meter="cpu_ms", quantity=7, occurred_at=AT, key="a")

        assert answer.status == "accepted"
        assert UsageEvent.objects.get().quantity == 7


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"meter": "nonsense"}, "meter_unknown"),
        ({"meter": "own:Bad Name"}, "meter_unknown"),
        ({"quantity": -1}, "quantity_out_of_range"),
        ({"quantity": 2**63}, "quantity_out_of_range"),
        ({"occurred_at": datetime(1, 1, 1, tzinfo=UTC)}, "time_out_of_range"),
        ({"occurred_at": datetime(9999, 12, 31, tzinfo=UTC)}, "time_out_of_range"),
        ({"occurred_at": datetime(2026, 1, 1)}, "time_without_zone"),
        ({"key": ""}, "key_invalid"),
        ({"key": "a\0b"}, "key_invalid"),
        ({"key": "x" * 161}, "key_invalid"),
    ],
)
def test_what_cannot_be_true_is_refused_and_nothing_is_stored(tenant: Tenant, changes: dict, code: str) -> None:
    wrong = event("wrong", **changes)

    with pytest.raises(UsageInvalid) as refused:
        usage_record_many(tenant_id=tenant.pk, events=[event("right"), wrong])

    assert refused.value.code == code
    assert not UsageEvent.objects.exists()


@pytest.mark.parametrize(
    ("offset", "code"),
    [(-usage.OLDEST - timedelta(seconds=1), "too_old"), (usage.FUTURE + timedelta(seconds=1), "in_future")],
)
def test_a_tenants_own_program_sends_recent_usage(offset: timedelta, code: str) -> None:
    now = clock.now()
    sent = event("a", meter="own:stamps", occurred_at=now + offset)

    with pytest.raises(UsageInvalid) as refused:
        usage.usage_check_external(sent, meters=frozenset({"own:stamps"}), now=now)

    assert refused.value.code == code


@pytest.mark.parametrize(
    ("key", "is_ours"),
    [
        ("segment:0192f3a1-7c2e-7b11-8d3e-0f1e2d3c4b5a", True),
        ("job:0192f3a1-7c2e-7b11-8d3e-0f1e2d3c4b5a:items", True),
        ("job:42", False),
        ("segment:north", False),
    ],
)
def test_a_tenants_own_program_cannot_take_the_key_of_what_it_will_be_billed_for(key: str, is_ours: bool) -> None:
    now = clock.now()
    sent = event(key, meter="own:stamps", occurred_at=now)

    def check() -> None:
        usage.usage_check_external(sent, meters=frozenset({"own:stamps"}), now=now)

    if is_ours:
        with pytest.raises(UsageInvalid) as refused:
            check()
        assert refused.value.code == "key_reserved"
    else:
        check()


@pytest.mark.parametrize("change", [{"quantity": 6}, {"occurred_at": AT}, {"meter": "gpu_ms"}, {"key": "b"}])
def test_usage_is_append_only(tenant: Tenant, change: dict) -> None:
    usage_record(tenant_id=tenant.pk, meter="cpu_ms", quantity=5, occurred_at=AT - timedelta(days=1), key="a")

    with pytest.raises((ProgrammingError, InternalError), match="Cannot update"), transaction.atomic():
        UsageEvent.objects.update(**change)
    with pytest.raises((ProgrammingError, InternalError), match="Cannot delete"), transaction.atomic():
        UsageEvent.objects.all().delete()


def test_racing_deliveries_of_the_same_batch_store_each_event_once(real_db: None, tenant: Tenant) -> None:
    batch = [event(f"k{number}") for number in range(50)]

    def send(number: int) -> list[str]:
        ordered = batch if number % 2 else batch[::-1]  # opposite orders would deadlock a row-by-row claim
        with tenant_scope(tenant.pk):
            return [answer.status for answer in usage_record_many(tenant_id=tenant.pk, events=ordered)]

    results = in_threads(6, send)

    assert all(isinstance(result, list) for result in results), results
    assert sum(result.count("accepted") for result in results) == 50
    assert UsageEvent.objects.count() == 50
