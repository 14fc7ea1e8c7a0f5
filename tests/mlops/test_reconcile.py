"""R1 holds after real work, and names what is wrong when something is."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from accounts.models import Tenant, User
from billing.services.usage import usage_record
from millrace.kernel import clock, reconcile
from millrace.kernel.tenancy import platform_scope, tenant_scope
from mlops.models import DeviceSession, Job
from mlops.reports import device_report
from mlops.services.devices import session_end, session_start
from mlops.services.reaper import jobs_reap
from mlops.services.segments import job_segment_open
from mlops.serving.messages import PredictRequest
from mlops.serving.recorder import ServedBatch, batches_record
from tests.factories import logged_in
from tests.mlops import cast


def r1() -> reconcile.Check:
    """The check's result."""
    return reconcile.run_checks(["R1"])[0]


def test_r1_holds(tenant: Tenant) -> None:
    version = cast.version(tenant)
    request = PredictRequest(
        uuid4(), tenant.pk, version.model_id, version.pk, "", 1, b"", "0" * 64, "", 0.0
    )  # fmt: skip
    on, at = cast.session(), clock.boot_ms()
    batches_record(
        session=on, meter="cpu_ms", batches=[ServedBatch((request,), ([{"label": "1"}],), at, at + 7)]
    )  # fmt: skip

    found = r1()

    assert found.differences == []
    assert found.checked >= 6


def test_r1_holds_for_a_worker_that_died_before_its_first_heartbeat(tenant: Tenant) -> None:
    cast.submit(tenant)
    on = cast.session()
    held = cast.claim(on)
    assert held is not None
    with tenant_scope(tenant.pk):
        job_segment_open(job_id=held.pk, epoch=1, sequence=0, start_ms=on.last_ms + 5_000)

    assert r1().differences == []
    with platform_scope(reason="test"):
        Job.objects.update(lease_until="2020-01-01T00:00:00Z")
    assert jobs_reap() == 1
    assert r1().differences == []


def test_r1_leaves_a_tenants_own_usage_out(tenant: Tenant) -> None:
    with tenant_scope(tenant.pk):
        usage_record(tenant_id=tenant.pk, meter="own:x", quantity=5, occurred_at=clock.now(), key="segment:my own")

    assert r1().differences == []


FAULTS: dict[str, tuple[Any, str]] = {
    "a job's sum": (lambda: Job.objects.update(billed_ms=999), "its segments say 1000 and 0"),
    "usage without a segment": (None, "the segment has None ms"),
    "a session that ends too early": (
        lambda: [
            DeviceSession.objects.filter(pk=s.pk).update(last_ms=s.started_ms) for s in DeviceSession.objects.all()
        ],
        "leave the session",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_r1_names_what_differs(tenant: Tenant, fault: str) -> None:
    cast.version(tenant)
    assert r1().differences == []
    break_it, told = FAULTS[fault]

    if break_it is None:
        with tenant_scope(tenant.pk):
            usage_record(tenant_id=tenant.pk, meter="cpu_ms", quantity=5, occurred_at=clock.now(), key="segment:stray")
    else:
        with platform_scope(reason="test"):
            break_it()

    assert any(told in difference for difference in r1().differences)


def test_r1_sees_two_sessions_of_one_device_at_once(tenant: Tenant) -> None:
    first = cast.session("twice")
    session_start(device=first.device, worker="other", purpose="jobs")
    with platform_scope(reason="test"):
        DeviceSession.objects.filter(pk=first.pk).update(last_ms=first.last_ms + 60_000)

    assert any("before the one before ends" in difference for difference in r1().differences)


def test_the_devices_report_adds_up_and_knows_its_cost(tenant: Tenant, staff: User, alice: User) -> None:
    cast.version(tenant)
    with platform_scope(reason="test"):
        session = DeviceSession.objects.get()
        DeviceSession.objects.update(last_ms=session.started_ms + 3_600_000)
        session.device.hourly_cost = 700
        session.device.save()
    since, until = clock.now() - timedelta(days=1), clock.now() + timedelta(days=1)

    row = device_report(since=since, until=until)[0]
    half = device_report(since=since, until=session.created_at + timedelta(minutes=30))[0]
    answer = logged_in(staff).get("/v1/ops/reports/devices", {"from": since.isoformat(), "to": until.isoformat()})
    as_csv = logged_in(staff).get("/v1/ops/reports/devices", {"format": "csv"})
    as_xlsx = logged_in(staff).get("/v1/ops/reports/devices", {"format": "xlsx"})

    assert (row.wall_ms, row.billed_ms, row.idle_ms, row.cost.amount) == (3_600_000, 1000, 3_599_000, 700)
    assert half.wall_ms == 1_800_000
    assert answer.json()["data"][0]["idle_ms"] == 3_599_000
    assert as_csv.content.decode().startswith("name,device_class,wall_ms")
    assert as_xlsx.content.startswith(b"PK")
    assert logged_in(alice).get("/v1/ops/reports/devices").status_code == 404
    for moment in ("0000-01-01T00:00:00Z", "0001-01-01T00:00:00Z"):
        ancient = logged_in(staff).get("/v1/ops/reports/devices", {"to": moment})
        assert (ancient.status_code, ancient.json()["code"]) == (422, "invalid")
    session_end(session.pk)
