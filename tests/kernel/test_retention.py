"""Old answers to keyed requests go, in batches; young ones stay. So do old news and log-ins."""

from datetime import timedelta
from threading import Barrier, Thread
from typing import Any

import pytest
from django.conf import LazySettings
from django.contrib.sessions.models import Session
from django.db import connections

from accounts.models import Tenant, User
from millrace.celery import app
from millrace.kernel import clock, retention
from millrace.kernel.models import Delivery, IdempotencyRecord, OutboxEvent
from millrace.kernel.tenancy import platform_scope
from millrace.kernel.tenancy import tenant_scope as scope_of
from tests.factories import logged_in


def record(tenant: Tenant, key: str, *, days: float) -> None:
    """An answer given so many days ago."""
    with scope_of(tenant.pk):
        IdempotencyRecord.objects.create(
            tenant=tenant, key=key, path="POST /v1/x", body_hash="", status=201, body={},
            created_at=clock.now() - timedelta(days=days),
        )  # fmt: skip


def keys() -> set[str]:
    with platform_scope(reason="assert"):
        return set(IdempotencyRecord.objects.values_list("key", flat=True))


def test_old_answers_of_every_tenant_go_and_young_ones_stay(tenant: Tenant, charlie: object) -> None:
    with platform_scope(reason="look"):
        other = Tenant.objects.exclude(pk=tenant.pk).get()
    for number in range(5):
        record(tenant, f"old-{number}", days=30.1)
        record(other, f"older-{number}", days=400)
    record(tenant, "young", days=29.9)

    assert retention.idempotency_purge(batch=3) == 10
    assert keys() == {"young"}
    assert retention.idempotency_purge() == 0


def test_the_setting_says_how_old(tenant: Tenant, settings: LazySettings) -> None:
    record(tenant, "k", days=3)
    settings.IDEMPOTENCY_KEEP_DAYS = 4
    assert retention.idempotency_purge() == 0
    settings.IDEMPOTENCY_KEEP_DAYS = 2
    assert retention.idempotency_purge() == 1


def test_a_run_has_an_end(tenant: Tenant) -> None:
    for number in range(7):
        record(tenant, str(number), days=40 - number)

    assert retention.idempotency_purge(batch=2, limit=5) == 5
    assert keys() == {"5", "6"}  # the oldest went first


def test_killed_after_some_batches_the_next_run_goes_on(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(6):
        record(tenant, str(number), days=40)
    real, left = retention._purge_batch, iter([True, False])

    def dying(*arguments: Any) -> int:
        if not next(left):
            raise KeyboardInterrupt
        return real(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(retention, "_purge_batch", dying)
        with pytest.raises(KeyboardInterrupt):
            retention.idempotency_purge(batch=2)
    assert len(keys()) == 4
    assert retention.idempotency_purge(batch=2) == 4


def test_several_at_once_delete_each_record_once(real_db: None, tenant: Tenant) -> None:
    for number in range(60):
        record(tenant, str(number), days=40)
    done: list[int] = []
    start = Barrier(4)

    def run() -> None:
        start.wait()
        done.append(retention.idempotency_purge(batch=5))
        connections["default"].close()

    threads = [Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(done) == 4
    assert sum(done) == 60
    assert keys() == set()


def test_news_that_everybody_heard_long_ago_goes_with_its_proofs(tenant: Tenant) -> None:
    long_ago, lately = clock.now() - timedelta(days=30.1), clock.now() - timedelta(days=29.9)
    with scope_of(tenant.pk):
        for payload, done_at in (("old", long_ago), ("older", long_ago), ("young", lately), ("waiting", None)):
            event = OutboxEvent.objects.create(
                topic="thing.happened", tenant=tenant, payload=payload, created_at=long_ago, done_at=done_at
            )
            Delivery.objects.create(consumer="one", event=event)

    assert retention.outbox_purge(batch=1) == 2

    with platform_scope(reason="assert"):
        news = OutboxEvent.objects.filter(topic="thing.happened")
        assert set(news.values_list("payload", flat=True)) == {"young", "waiting"}
    assert Delivery.objects.filter(consumer="one").count() == 2


def test_expired_log_ins_go(alice: User, db: None) -> None:
    logged_in(alice)
    kept = Session.objects.get()
    Session.objects.create(session_key="x", session_data="", expire_date=kept.expire_date - timedelta(days=100))

    retention.sessions_purge()

    assert Session.objects.get() == kept


def test_beat_rings_only_tasks_that_exist() -> None:
    app.loader.import_default_modules()
    asked = {entry["task"] for entry in app.conf.beat_schedule.values()}

    assert {"kernel.purge_idempotency", "kernel.purge_outbox", "kernel.purge_sessions"} <= asked
    assert "mlops.purge_checkpoints" in asked
    assert asked <= set(app.tasks)
