"""A real worker process trains a real net, and is killed while at it."""

import itertools
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from accounts.models import Tenant
from billing.models import UsageEvent
from millrace.kernel import storage
from millrace.kernel.tenancy import platform_scope, tenant_scope
from mlops.models import Checkpoint, Disposition, Job, JobEvent, JobState, ModelVersion, Segment
from mlops.services.jobs import job_cancel
from tests.factories import SYSTEM
from tests.mlops import cast
from tests.mlops.programs import ROOT, job_now, wait_for

pytestmark = pytest.mark.timeout(900)  # a loaded machine trains slowly


def checkpoints(job: Job) -> int:
    """How many there are."""
    with platform_scope(reason="assert"):
        return Checkpoint.objects.filter(job=job).count()


def metrics(job: Job) -> int:
    """How many figures it reported."""
    with platform_scope(reason="assert"):
        return JobEvent.objects.filter(job=job, kind="metric").count()


def open_ms(job: Job) -> int:
    """Device time that no checkpoint settles yet, as of the last heartbeat."""
    with platform_scope(reason="assert"):
        pending = Segment.objects.filter(job=job, disposition=Disposition.PENDING)
        return sum(segment.duration_ms for segment in pending)


def child_pid(job: Job) -> int:
    """The process of the job's newest run."""
    with platform_scope(reason="assert"):
        return JobEvent.objects.filter(job=job, kind="spawned").latest("sequence").data["pid"]


def books_balance(job: Job) -> None:
    """Every billed millisecond has its usage, once; nothing is pending; nothing overlaps within the job."""
    with tenant_scope(job.tenant_id):
        segments = list(Segment.objects.filter(job=job).order_by("start_ms"))
        billed = {f"segment:{s.pk}": s.duration_ms for s in segments if s.disposition == Disposition.BILLED}
        usage = {u.key: u.quantity for u in UsageEvent.objects.filter(job_id=job.pk, meter="cpu_ms")}
    assert not [s for s in segments if s.disposition == Disposition.PENDING]
    assert usage == {key: ms for key, ms in billed.items() if ms}
    assert job.billed_ms == sum(billed.values())
    assert job.lost_ms == sum(s.duration_ms for s in segments if s.disposition == Disposition.LOST)
    assert all(before.end_ms <= after.start_ms for before, after in itertools.pairwise(segments))


def long_job(tenant: Tenant) -> Job:
    """A training of some seconds: the supervisor and its child can be killed while it runs."""
    return cast.submit(tenant, params={"form": "deep", "epochs": 25, "seed": 3}, time_limit_ms=600_000)


@pytest.mark.slow
def test_a_job_trains_end_to_end_and_becomes_the_champion(start_worker: Any, tenant: Tenant) -> None:
    job = cast.submit(tenant, params={"form": "plain", "epochs": 3}, model_name="digits")
    worker = start_worker()
    wait_for(lambda: job_now(job).state == JobState.SUCCEEDED, worker)

    done = job_now(job)
    books_balance(done)
    with tenant_scope(tenant.pk):
        version = ModelVersion.objects.select_related("model__champion").get()
        kinds = set(JobEvent.objects.filter(job=job).values_list("kind", flat=True))
    assert version.model.name == "digits"
    assert version.model.champion == version
    assert version.metrics["accuracy"] > 0.8
    assert storage.exists(version.weights_key)
    assert version.card.startswith("# Image classifier")
    assert version.dataset_hash == job.dataset_version.content_hash
    assert version.cost_amount >= 0
    assert {"state", "spawned", "started", "metric", "progress"} <= kinds
    assert worker.stop() == 0


@pytest.mark.slow
def test_kill_9_of_the_supervisor_loses_no_settled_segment_and_the_job_goes_on(
    start_worker: Any, tenant: Tenant
) -> None:
    job = long_job(tenant)
    first = start_worker()
    wait_for(lambda: metrics(job) >= 1, first)  # an epoch is behind it, and then a checkpoint of that
    known = checkpoints(job)
    wait_for(lambda: checkpoints(job) >= max(2, known + 1), first)
    wait_for(lambda: open_ms(job) > 0, first)
    orphan = child_pid(job)
    first.stop(signal.SIGKILL)
    settled = job_now(job).billed_ms
    assert settled > 0

    second = start_worker()
    wait_for(lambda: job_now(job).epoch == 2, second)
    assert not Path(f"/proc/{orphan}/cmdline").exists() or not Path(f"/proc/{orphan}/cmdline").read_bytes()
    wait_for(lambda: job_now(job).state == JobState.SUCCEEDED, second)

    done = job_now(job)
    books_balance(done)
    assert done.lost_ms > 0
    assert done.billed_ms > settled
    with tenant_scope(tenant.pk):
        assert ModelVersion.objects.count() == 1
        epochs = [e.data["value"] for e in JobEvent.objects.filter(job=job, kind="metric", epoch=1)]
        first_step_after = JobEvent.objects.filter(job=job, kind="metric", epoch=2).earliest("sequence").data["epoch"]
    assert epochs
    assert first_step_after > 1  # it did not begin again


@pytest.mark.slow
def test_kill_9_of_the_child_is_tried_again_from_the_checkpoint(start_worker: Any, tenant: Tenant) -> None:
    job = long_job(tenant)
    worker = start_worker()
    wait_for(lambda: checkpoints(job) >= 2, worker)

    os.kill(child_pid(job), signal.SIGKILL)

    wait_for(lambda: job_now(job).epoch == 2, worker)
    wait_for(lambda: job_now(job).state == JobState.SUCCEEDED, worker)
    done = job_now(job)
    books_balance(done)
    assert done.lost_ms > 0


@pytest.mark.slow
def test_sigterm_hands_the_job_back_with_a_checkpoint_and_bills_what_was_done(
    start_worker: Any, tenant: Tenant
) -> None:
    job = long_job(tenant)
    first = start_worker()
    wait_for(lambda: checkpoints(job) >= 1, first)

    assert first.stop() == 0

    back = job_now(job)
    assert (back.state, back.reason_code, back.attempts) == (JobState.QUEUED, "handed_back", 0)
    books_balance(back)
    assert back.lost_ms == 0
    second = start_worker()
    wait_for(lambda: job_now(job).state == JobState.RUNNING, second)
    with tenant_scope(tenant.pk):
        job_cancel(job=job_now(job), actor=SYSTEM)
    wait_for(lambda: job_now(job).state == JobState.CANCELED, second)
    books_balance(job_now(job))


@pytest.mark.slow
def test_j5_without_any_broker_the_worker_still_finds_its_work(start_worker: Any, tenant: Tenant) -> None:
    worker = start_worker(CELERY_BROKER_URL="redis://127.0.0.1:9/0")
    job = cast.submit(tenant)

    wait_for(lambda: job_now(job).state == JobState.SUCCEEDED, worker)
    books_balance(job_now(job))


def test_the_worker_never_imports_torch() -> None:
    code = (
        "import django, os, sys; os.environ['DJANGO_SETTINGS_MODULE'] = 'millrace.settings.test'; django.setup(); "
        "import mlops.management.commands.worker, mlops.api.urls; sys.exit('torch' in sys.modules)"
    )
    environment = os.environ | {"PYTHONPATH": f"{ROOT / 'platform'}:{ROOT}"}

    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, check=False).returncode == 0
