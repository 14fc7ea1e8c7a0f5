"""Who gets the next job: by weight, by plan, each job once."""

import time
from uuid import UUID

from accounts.models import Tenant
from billing.models import Plan
from millrace.kernel.tenancy import tenant_scope
from mlops.models import Job, TenantShare
from mlops.services.outcomes import job_finish
from mlops.services.segments import job_segment_open, job_segment_record
from tests.factories import make_tenant
from tests.mlops import cast
from tests.mlops.test_job_services import trained
from tests.threads import in_threads


def test_device_time_is_shared_by_weight(tenant: Tenant) -> None:
    other = make_tenant("Other")
    version, other_version = cast.digits(cast.ready(tenant)), cast.digits(cast.ready(other))
    with tenant_scope(other.pk):
        TenantShare.objects.create(tenant=other, weight=3)
    for _ in range(12):
        cast.submit(tenant, version)
        cast.submit(other, other_version)
    on = cast.session()
    at = cast.now_ms()
    order = []
    for turn in range(12):
        held = cast.claim(on)
        assert held is not None
        order.append(held.tenant_id)
        with tenant_scope(held.tenant_id):
            job_segment_open(job_id=held.pk, epoch=1, sequence=0, start_ms=at + turn * 100)
            job_segment_record(job_id=held.pk, epoch=1, sequence=0, end_ms=at + turn * 100 + 100)
            job_finish(job_id=held.pk, epoch=1, ending=trained())

    assert order.count(other.pk) == 9
    assert order.count(tenant.pk) == 3


def test_a_plan_runs_so_many_jobs_at_once_and_others_pass(tenant: Tenant) -> None:
    other = make_tenant("Other")
    version, on = cast.digits(cast.ready(tenant)), cast.session()
    jobs = [cast.submit(tenant, version) for _ in range(3)]
    foreign = cast.submit(other, cast.digits(cast.ready(other)))
    claimed = [held.pk for _ in range(4) if (held := cast.claim(on))]

    assert len(claimed) == 3  # the plan "starter" allows two
    assert foreign.pk in claimed
    with tenant_scope(tenant.pk):
        job_finish(job_id=jobs[0].pk, epoch=1, ending=trained())
    last = cast.claim(on)
    assert last is not None
    assert {last.pk, *claimed} == {foreign.pk, *(job.pk for job in jobs)}


def test_claims_at_once_do_not_pass_the_plans_number(real_db: None, tenant: Tenant) -> None:
    version = cast.digits(cast.ready(tenant))
    for _ in range(8):
        cast.submit(tenant, version)
    sessions = [cast.session() for _ in range(4)]

    claimed = in_threads(4, lambda number: cast.claim(sessions[number]))

    assert [type(job) for job in claimed if job] == [Job, Job]


def test_eight_threads_claim_every_job_once(real_db: None, tenant: Tenant) -> None:
    version = cast.digits(cast.ready(tenant))
    Plan.objects.update(limits={})
    jobs = {cast.submit(tenant, version).pk for _ in range(40)}
    claimed: list[UUID] = []
    sessions = [cast.session() for _ in range(8)]

    def work(number: int) -> None:
        empty = 0
        while empty < 3:
            job = cast.claim(sessions[number])
            if job is None:
                empty += 1
                time.sleep(0.01)
            else:
                claimed.append(job.pk)

    assert in_threads(8, work) == [None] * 8

    assert len(claimed) == 40
    assert set(claimed) == jobs
