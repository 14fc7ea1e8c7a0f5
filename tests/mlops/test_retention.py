"""Checkpoints of jobs that ended long ago lose their files, and nothing else does."""

import os
import time
from datetime import timedelta
from pathlib import Path
from threading import Barrier, Event, Thread
from typing import Any

import pytest
from django.conf import LazySettings
from django.db import DatabaseError, connections

from accounts.models import Tenant
from millrace.kernel import clock, storage
from millrace.kernel.tenancy import platform_scope, tenant_scope
from mlops.models import Checkpoint, Job, JobState
from mlops.services import retention
from mlops.services.jobs import job_resume
from mlops.services.retention import checkpoints_purge
from mlops.worker.discovery import find_processor
from mlops.worker.run import JobRun
from tests.factories import SYSTEM
from tests.mlops import cast

pytestmark = pytest.mark.usefixtures("own_store")

LONG_AGO = 7200


def stored(content: str, *, seconds_ago: float = LONG_AGO) -> str:
    """A blob that was stored then."""
    key = storage.content_key(content.encode(), ".safetensors")
    storage.put(key, content.encode())
    then = time.time() - seconds_ago
    os.utime(storage.local_path(key), (then, then))
    return key


def job(tenant: Tenant, *keys: str, state: str = JobState.SUCCEEDED, days: float = 8) -> Job:
    """A job with these checkpoints, which came to that state so many days ago."""
    made = cast.submit(tenant)
    over = state not in (JobState.QUEUED, JobState.PAUSED)
    with platform_scope(reason="test data"):
        finished = clock.now() - timedelta(days=days) if over else None
        Job.objects.filter(pk=made.pk).update(state=state, finished_at=finished)
        for step, key in enumerate(keys):
            Checkpoint.objects.create(tenant=tenant, job=made, epoch=1, step=step, storage_key=key, size=1, billed_ms=0)
    return made


def rows(of: Job) -> list[tuple[bool, bool]]:
    """Of each checkpoint, whether it is expired and whether it is freed."""
    with platform_scope(reason="assert"):
        found = Checkpoint.objects.filter(job=of).order_by("step")
        return [(row.expired_at is not None, row.freed_at is not None) for row in found]


@pytest.mark.parametrize("state", [JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELED, JobState.ABORTED])
def test_files_of_a_job_that_ended_long_ago_go_and_its_rows_say_so(tenant: Tenant, state: str) -> None:
    keys = [stored("one"), stored("two")]
    old = job(tenant, *keys, state=state)

    assert checkpoints_purge() == 2

    assert not any(storage.exists(key) for key in keys)
    assert rows(old) == [(True, True), (True, True)]
    assert checkpoints_purge() == 0


@pytest.mark.parametrize(
    ("state", "days"), [(JobState.SUCCEEDED, 6.9), (JobState.PAUSED, 90), (JobState.QUEUED, 90)]
)  # fmt: skip
def test_what_a_job_may_go_on_from_stays(tenant: Tenant, state: str, days: float) -> None:
    key = stored("one")
    kept = job(tenant, key, state=state, days=days)

    assert checkpoints_purge() == 0
    assert storage.exists(key)
    assert rows(kept) == [(False, False)]


def test_the_setting_says_how_long(tenant: Tenant, settings: LazySettings) -> None:
    settings.CHECKPOINT_KEEP_DAYS = 30
    job(tenant, stored("one"), days=29)
    assert checkpoints_purge() == 0
    settings.CHECKPOINT_KEEP_DAYS = 28
    assert checkpoints_purge() == 1


def test_a_file_that_another_tenants_job_may_need_stays_until_that_is_over(tenant: Tenant, charlie: object) -> None:
    with platform_scope(reason="look"):
        other = Tenant.objects.exclude(pk=tenant.pk).get()
    key = stored("the same work")
    old, young = job(tenant, key), job(other, key, days=1)

    assert checkpoints_purge() == 1
    assert storage.exists(key)
    assert (rows(old), rows(young)) == ([(True, True)], [(False, False)])

    with platform_scope(reason="test data"):
        Job.objects.filter(pk=young.pk).update(finished_at=clock.now() - timedelta(days=8))
    assert checkpoints_purge() == 1
    assert not storage.exists(key)


def test_two_expired_namers_of_one_file_are_both_freed(tenant: Tenant) -> None:
    key = stored("the same work")
    job(tenant, key)
    job(tenant, key)

    assert checkpoints_purge() == 2
    assert not storage.exists(key)


def test_weights_and_data_of_the_same_content_stay(tenant: Tenant) -> None:
    version = cast.version(cast.ready(tenant))
    with tenant_scope(tenant.pk):
        made_from = version.dataset_version.storage_key
    for key in (version.weights_key, made_from):
        then = time.time() - LONG_AGO
        os.utime(storage.local_path(key), (then, then))
    job(tenant, version.weights_key, made_from)

    assert checkpoints_purge() == 2
    assert storage.exists(version.weights_key)
    assert storage.exists(made_from)


def test_a_file_that_was_just_kept_waits_for_the_row_that_may_name_it(tenant: Tenant) -> None:
    key = stored("one")
    old = job(tenant, key)
    storage.keep(key, b"one")

    assert checkpoints_purge() == 0
    assert storage.exists(key)
    assert rows(old) == [(True, False)]
    stored("one")
    assert checkpoints_purge() == 1


def test_killed_between_file_and_row_the_next_run_finishes(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = [stored(str(number)) for number in range(4)]
    old = job(tenant, *keys)
    real, calls = storage.discard_idle, iter(range(10))

    def dying(key: str, *, idle_seconds: float) -> bool:
        done = real(key, idle_seconds=idle_seconds)
        if next(calls) == 2:
            raise KeyboardInterrupt
        return done

    with monkeypatch.context() as patch:
        patch.setattr(storage, "discard_idle", dying)
        with pytest.raises(KeyboardInterrupt):
            checkpoints_purge(batch=2)

    # Files of the second batch are gone and its rows do not say so yet; none of the rows is resumed from any more.
    assert rows(old) == [(True, True), (True, True), (True, False), (True, False)]
    assert checkpoints_purge(batch=2) == 2
    assert not any(storage.exists(key) for key in keys)


def test_a_job_resumed_after_that_begins_again(tenant: Tenant, tmp_path: Path) -> None:
    old = job(tenant, stored("one"), state=JobState.FAILED)
    run = JobRun(job=old, device=find_processor(0, 1), folder=tmp_path / "work", stop=Event())
    with tenant_scope(tenant.pk):
        assert run._last_checkpoint() is not None
    checkpoints_purge()
    with tenant_scope(tenant.pk):
        assert run._last_checkpoint() is None
        job_resume(job=Job.objects.get(pk=old.pk), actor=SYSTEM)


def test_several_at_once_free_each_checkpoint_once(real_db: None, tenant: Tenant) -> None:
    shared = stored("shared")
    jobs = [job(tenant, stored(f"{number}"), shared) for number in range(12)]
    counts = together(4, lambda: checkpoints_purge(batch=3))

    # A run passes over what another holds, so the last of them may leave some to the next.
    assert sum(counts) + checkpoints_purge() == 24
    assert all(rows(each) == [(True, True)] * 2 for each in jobs)
    assert not storage.exists(shared)


def test_a_job_that_is_being_resumed_is_passed_over(real_db: None, tenant: Tenant) -> None:
    key = stored("one")
    failed = job(tenant, key, state=JobState.FAILED)
    owner = connections["owner"]
    with platform_scope(reason="hold the row as a resuming request does"):
        owner.set_autocommit(False)
        owner.cursor().execute("SELECT 1 FROM mlops_job WHERE id = %s FOR UPDATE", [failed.pk])
    try:
        assert checkpoints_purge() == 0
        assert rows(failed) == [(False, False)]
    finally:
        owner.rollback()
        owner.set_autocommit(True)
    assert storage.exists(key)


def test_whoever_keeps_a_file_while_it_is_discarded_has_it(tenant: Tenant) -> None:
    for number in range(200):
        key = stored(f"{number % 5}")
        turns = iter([lambda k=key: storage.discard_idle(k, idle_seconds=60), lambda k=key: storage.keep(k, b"x")])
        together(2, lambda turns=turns: next(turns)())
        assert storage.exists(key)


def test_a_row_may_say_that_it_is_expired_and_nothing_else(tenant: Tenant) -> None:
    old = job(tenant, stored("one"))
    with platform_scope(reason="test"):
        checkpoint = Checkpoint.objects.get(job=old)
        with pytest.raises(DatabaseError, match="Cannot update"), cast.undone():
            Checkpoint.objects.filter(pk=checkpoint.pk).update(storage_key="other")
        with pytest.raises(DatabaseError, match="Cannot delete"), cast.undone():
            checkpoint.delete()
    assert retention._IDLE_SECONDS >= 600


def together(count: int, act: Any) -> list[Any]:
    """What `act` gave in that many threads at the same moment."""
    start, given = Barrier(count), []

    def run() -> None:
        start.wait()
        given.append(act())
        connections["default"].close()

    threads = [Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(given) == count
    return given
