"""Jobs without a process: submitted, claimed, fenced, settled, reaped."""

from typing import Any

import pytest
from django.db.utils import IntegrityError, ProgrammingError

from accounts.models import Tenant
from billing.models import Reservation, UsageEvent
from millrace.kernel.errors import Invalid
from millrace.kernel.tenancy import platform_scope, tenant_scope
from mlops import selectors
from mlops.errors import JobStateRefused, LeaseLost, RecipeRefused
from mlops.models import Checkpoint, Disposition, Job, JobEvent, JobState, ModelVersion, Segment
from mlops.services.jobs import job_cancel, job_resume
from mlops.services.leases import job_heartbeat
from mlops.services.outcomes import Artifact, Ending, job_finish
from mlops.services.reaper import jobs_reap
from mlops.services.segments import job_checkpoint_record, job_segment_open, job_segment_record
from tests.factories import SYSTEM
from tests.mlops import cast


def expire(job: Job) -> None:
    """Let the job's lease run out."""
    with platform_scope(reason="test"):
        Job.objects.filter(pk=job.pk).update(lease_until="2020-01-01T00:00:00Z")


def fresh(job: Job) -> Job:
    """The job as it stands now."""
    with platform_scope(reason="assert"):
        return Job.objects.get(pk=job.pk)


def used(tenant: Tenant) -> dict[str, int]:
    """Usage by meter."""
    with tenant_scope(tenant.pk):
        totals: dict[str, int] = {}
        for event in UsageEvent.objects.all():
            totals[event.meter] = totals.get(event.meter, 0) + event.quantity
        return totals


def run_until_checkpoint(job: Job, *, ms: int = 500) -> int:
    """The holder's first segment with a checkpoint behind it; returns where the next begins."""
    start = cast.now_ms()
    with tenant_scope(job.tenant_id):
        job_segment_open(job_id=job.pk, epoch=job.epoch, sequence=0, start_ms=start)
        job_checkpoint_record(
            job_id=job.pk, epoch=job.epoch, sequence=0, end_ms=start + ms, step=10, storage_key="sha256/x", size=1
        )
        job_segment_open(job_id=job.pk, epoch=job.epoch, sequence=1, start_ms=start + ms)
    return start + ms


def run_through_checkpoints(job: Job, count: int) -> None:
    """The holder's checkpoints at the steps 1 to `count`."""
    start = cast.now_ms()
    common = {"job_id": job.pk, "epoch": job.epoch}
    with tenant_scope(job.tenant_id):
        for step in range(1, count + 1):
            job_segment_open(**common, sequence=step - 1, start_ms=start + step)
            job_checkpoint_record(
                **common, sequence=step - 1, end_ms=start + step + 1, step=step, storage_key=f"sha256/{step}", size=1
            )


def trained(**changes: Any) -> Ending:
    """A training that went well."""
    result = {"metrics": {"accuracy": 0.9}, "examples_per_second": 1000.0}
    values: dict[str, Any] = {
        "succeeded": True, "code": "ok", "result": result, "tail_billable": True, "card": "# card",
        "artifacts": {"weights": Artifact("sha256/w", "ab" * 32, 10)},
    }  # fmt: skip
    return Ending(**(values | changes))


def test_submit_reserves_the_worst_case_and_queues(tenant: Tenant) -> None:
    job = cast.submit(tenant)

    with tenant_scope(tenant.pk):
        held = Reservation.objects.get()
        story = list(JobEvent.objects.order_by("sequence").values_list("sequence", "data__state"))
    assert job.state == JobState.QUEUED
    assert (held.key, held.quantity, held.released_at) == (job.reservation_key, 60_000, None)
    assert story == [(1, "validating"), (2, "queued")]


def test_a_refused_job_leaves_nothing(tenant: Tenant) -> None:
    version = cast.digits(cast.ready(tenant))

    with pytest.raises(RecipeRefused) as refused:
        cast.submit(tenant, version, params={"form": "plain", "epochs": 0})

    assert refused.value.field == "params.epochs"
    with tenant_scope(tenant.pk):
        assert not Job.objects.exists()
        assert not Reservation.objects.exists()


def test_a_run_is_billed_to_the_millisecond_and_makes_a_version(tenant: Tenant) -> None:
    job = cast.submit(tenant)
    held = cast.claim(cast.session())
    assert held is not None
    start = run_until_checkpoint(held)
    with tenant_scope(tenant.pk):
        job_segment_record(job_id=job.pk, epoch=1, sequence=1, end_ms=start + 70)
        done = job_finish(job_id=job.pk, epoch=1, ending=trained())

    assert (done.state, done.billed_ms, done.lost_ms) == (JobState.SUCCEEDED, 570, 0)
    assert used(tenant) == {"cpu_ms": 570}
    with tenant_scope(tenant.pk):
        made = ModelVersion.objects.get()
        assert (made.number, made.device_ms, made.model.champion) == (1, 570, made)
        assert Reservation.objects.get().released_at is not None


def test_a_stale_epoch_can_write_nothing(tenant: Tenant) -> None:
    job = cast.submit(tenant)
    old = cast.claim(cast.session())
    assert old is not None
    start = run_until_checkpoint(old)
    expire(job)
    before = fresh(job)

    def attempts(epoch: int) -> list[Any]:
        common = {"job_id": job.pk, "epoch": epoch}
        return [
            lambda: job_heartbeat(**common, sequence=1, now_ms=start + 10),
            lambda: job_segment_open(**common, sequence=2, start_ms=start),
            lambda: job_segment_record(**common, sequence=1, end_ms=start + 10),
            lambda: job_checkpoint_record(
                **common, sequence=1, end_ms=start + 10, step=20, storage_key="sha256/y", size=1
            ),
            lambda: job_finish(**common, ending=trained()),
        ]

    def all_refused() -> None:
        with tenant_scope(tenant.pk):
            for attempt in attempts(1):
                with pytest.raises(LeaseLost):
                    attempt()

    all_refused()  # its lease ran out
    assert fresh(job).event_count == before.event_count
    assert jobs_reap() == 1
    all_refused()  # the job is queued again
    with platform_scope(reason="test"):
        Job.objects.filter(pk=job.pk).update(not_before=None)
    newer = cast.claim(cast.session())
    assert newer is not None
    assert newer.epoch == 2
    all_refused()  # another holds it
    with tenant_scope(tenant.pk):
        assert Checkpoint.objects.count() == 1
        assert not ModelVersion.objects.exists()
    assert used(tenant) == {"cpu_ms": 500}


def test_j8_a_silent_worker_loses_the_job_and_the_unsettled_time_is_not_billed(tenant: Tenant) -> None:
    job = cast.submit(tenant)
    held = cast.claim(cast.session())
    assert held is not None
    start = run_until_checkpoint(held)
    with tenant_scope(tenant.pk):
        job_heartbeat(job_id=job.pk, epoch=1, sequence=1, now_ms=start + 300)
    assert jobs_reap() == 0  # its lease holds
    expire(job)

    assert jobs_reap() == 1
    assert jobs_reap() == 0

    after = fresh(job)
    assert (after.state, after.reason_code) == (JobState.QUEUED, "worker_lost")
    assert (after.billed_ms, after.lost_ms) == (500, 300)
    assert used(tenant) == {"cpu_ms": 500}
    with tenant_scope(tenant.pk):
        settled = dict(Segment.objects.values_list("sequence", "disposition"))
    assert settled == {0: Disposition.BILLED, 1: Disposition.LOST}


def test_j8_a_job_that_loses_every_worker_is_aborted_not_looped(tenant: Tenant) -> None:
    job = cast.submit(tenant)
    for _ in range(3):
        with platform_scope(reason="test"):
            Job.objects.filter(pk=job.pk).update(not_before=None)
        assert cast.claim(cast.session()) is not None
        expire(job)
        assert jobs_reap() == 1

    after = fresh(job)
    assert after.state == JobState.ABORTED
    assert cast.claim(cast.session()) is None
    with tenant_scope(tenant.pk):
        assert Reservation.objects.get().released_at is not None


def test_of_a_long_run_the_last_checkpoints_are_kept(tenant: Tenant) -> None:
    cast.submit(tenant)
    held = cast.claim(cast.session())
    assert held is not None
    run_through_checkpoints(held, 5)

    with tenant_scope(tenant.pk):
        kept = Checkpoint.objects.filter(expired_at=None).order_by("step")
        assert list(kept.values_list("step", flat=True)) == [3, 4, 5]


def test_a_job_whose_checkpoint_is_damaged_goes_on_from_the_one_before(tenant: Tenant) -> None:
    job = cast.submit(tenant)
    damaged = Ending(False, "checkpoint_invalid", "the file is damaged")
    held = cast.claim(cast.session())
    assert held is not None
    run_through_checkpoints(held, 2)
    expire(job)
    jobs_reap()
    told = []
    for _ in range(3):
        with platform_scope(reason="test"):
            Job.objects.update(not_before=None)
        held = cast.claim(cast.session())
        assert held is not None
        with tenant_scope(tenant.pk):
            last = selectors.checkpoints(tenant.pk, job.pk).first()
            ended = job_finish(job_id=job.pk, epoch=held.epoch, ending=damaged)
        told.append((last.step if last else None, ended.state, ended.attempts))

    assert told == [(2, "queued", 1), (1, "queued", 1), (None, "failed", 2)]


def test_j3_out_of_memory_fails_at_once_and_is_not_tried_again(tenant: Tenant) -> None:
    job = cast.submit(tenant)
    held = cast.claim(cast.session())
    assert held is not None
    start = run_until_checkpoint(held)
    with tenant_scope(tenant.pk):
        job_segment_record(job_id=job.pk, epoch=1, sequence=1, end_ms=start + 90)
        job_finish(job_id=job.pk, epoch=1, ending=Ending(False, "out_of_memory", "used too much"))

    after = fresh(job)
    assert (after.state, after.reason_code, after.attempts) == (JobState.FAILED, "out_of_memory", 1)
    assert (after.billed_ms, after.lost_ms) == (500, 90)
    assert cast.claim(cast.session()) is None


def test_j1_a_doubled_look_finds_nothing(tenant: Tenant) -> None:
    cast.submit(tenant)

    first, again = cast.claim(cast.session()), cast.claim(cast.session())

    assert first is not None
    assert again is None


def test_a_worker_that_is_stopped_hands_back_without_using_up_an_attempt(tenant: Tenant) -> None:
    job = cast.submit(tenant)
    held = cast.claim(cast.session())
    assert held is not None
    run_until_checkpoint(held)
    with tenant_scope(tenant.pk):
        job_finish(job_id=job.pk, epoch=1, ending=Ending(False, "canceled", handed_back=True, tail_billable=True))

    after = fresh(job)
    assert (after.state, after.attempts, after.not_before) == (JobState.QUEUED, 0, None)


def test_a_spend_cap_is_never_exceeded_and_pauses_the_job(tenant: Tenant) -> None:
    job = cast.submit(tenant, spend_cap=cast.fen(1_000_000), time_limit_ms=None)
    with platform_scope(reason="test"):
        Job.objects.filter(pk=job.pk).update(limit_ms=700)
    held = cast.claim(cast.session())
    assert held is not None
    start = run_until_checkpoint(held)
    with tenant_scope(tenant.pk):
        job_segment_record(job_id=job.pk, epoch=1, sequence=1, end_ms=start + 400)
        job_finish(job_id=job.pk, epoch=1, ending=Ending(False, "time_limit", tail_billable=True))

    after = fresh(job)
    assert (after.state, after.reason_code) == (JobState.PAUSED, "spend_cap")
    assert (after.billed_ms, after.lost_ms) == (700, 200)
    assert used(tenant) == {"cpu_ms": 700}

    with tenant_scope(tenant.pk):
        with pytest.raises(Invalid, match="name a higher one"):
            job_resume(job=after, actor=SYSTEM)
        resumed = job_resume(job=after, spend_cap=cast.fen(2_000_000), actor=SYSTEM)
        open_now = Reservation.objects.filter(released_at__isnull=True).count()
    assert resumed.state == JobState.QUEUED
    assert resumed.limit_ms > after.limit_ms
    assert open_now == 1


def test_cancel_at_rest_and_while_running(tenant: Tenant) -> None:
    waiting = cast.submit(tenant)
    with tenant_scope(tenant.pk):
        assert job_cancel(job=waiting, actor=SYSTEM).state == JobState.CANCELED
        assert job_cancel(job=waiting, actor=SYSTEM).state == JobState.CANCELED
        with pytest.raises(JobStateRefused):
            job_resume(job=waiting, actor=SYSTEM)
    running = cast.submit(tenant)
    held = cast.claim(cast.session())
    assert held is not None
    with tenant_scope(tenant.pk):
        assert job_cancel(job=running, actor=SYSTEM).stop_asked == "cancel"
        job_finish(job_id=running.pk, epoch=1, ending=Ending(False, "canceled", tail_billable=True))

    assert fresh(running).state == JobState.CANCELED


@pytest.mark.parametrize("code", ["crashed", "time_limit", "recipe_failed"])
def test_a_job_that_was_to_stop_is_canceled_however_its_run_ends(tenant: Tenant, code: str) -> None:
    job = cast.submit(tenant, spend_cap=cast.fen(1_000_000))
    assert cast.claim(cast.session()) is not None
    with tenant_scope(tenant.pk):
        job_cancel(job=job, actor=SYSTEM)

        job_finish(job_id=job.pk, epoch=1, ending=Ending(False, code, "it left like that"))

    assert fresh(job).state == JobState.CANCELED
    assert cast.claim(cast.session()) is None


def test_what_finished_while_it_was_to_stop_cannot_be_canceled_any_more(tenant: Tenant) -> None:
    job = cast.submit(tenant)
    assert cast.claim(cast.session()) is not None
    with tenant_scope(tenant.pk):
        job_cancel(job=job, actor=SYSTEM)
        job_finish(job_id=job.pk, epoch=1, ending=trained())

        with pytest.raises(JobStateRefused):
            job_cancel(job=job, actor=SYSTEM)


def test_settled_segments_and_overlaps_are_refused_by_the_database(tenant: Tenant) -> None:
    cast.submit(tenant)
    on = cast.session()
    held = cast.claim(on)
    assert held is not None
    start = run_until_checkpoint(held)

    with tenant_scope(tenant.pk):
        with pytest.raises(ProgrammingError, match="Cannot update"), cast.undone():
            Segment.objects.filter(sequence=0).update(end_ms=start + 1)
        with pytest.raises(IntegrityError, match="segments_of_a_device_apart"), cast.undone():
            Segment.objects.create(
                tenant_id=tenant.pk, kind="job", session=on, session_lane=on.lane, device=on.device, job=held,
                epoch=9, sequence=0, start_ms=start - 100, end_ms=start - 50, meter="cpu_ms",
            )  # fmt: skip
