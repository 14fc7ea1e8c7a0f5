"""J5: a worker program whose connection to the broker breaks goes on consuming Celery's messages; and it leaves clean."""

import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from celery import Celery
from django.db import connections, transaction

from millrace.kernel import outbox
from millrace.kernel.models import OutboxEvent
from millrace.kernel.tenancy import platform_scope
from tests.mlops.brokers import Broker, Relay
from tests.mlops.programs import ROOT, Program, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]  # every wait has a limit of its own, and a log to show


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    """Running."""
    broker = Broker(tmp_path)
    broker.start()
    yield broker
    broker.stop(signal.SIGKILL)


@pytest.fixture
def start_on(start: Callable[..., Program], broker: Broker) -> Callable[[str], Program]:
    """Starts `manage.py worker` for platform tasks on a broker's address; returns when it has handled one."""

    def run(url: str) -> Program:
        program = start(str(ROOT / "manage.py"), "worker", "--queues", "platform", VALKEY_URL=url)
        handles_a_message(broker, program)
        wait_for(lambda: broker.waiting("platform") == 0, program)  # a slow start was rung for more than once
        return program

    return run


@pytest.fixture
def worker(start_on: Callable[[str], Program], broker: Broker) -> Program:
    """Directly on the broker."""
    return start_on(broker.url)


def announce() -> OutboxEvent:
    """News that only a platform task delivers: no beat runs here, and devices look for jobs alone."""
    with platform_scope(reason="test data"):
        return outbox.announce("nobody.listens", tenant_id=None, payload={})


def ring(broker: Broker, times: int = 1) -> None:
    """Send the platform task that delivers news."""
    with Celery(broker=broker.url, set_as_current=False) as sender:  # the others keep the house's
        for _ in range(times):
            sender.send_task("kernel.drain_outbox", queue="platform")


def is_delivered(event: OutboxEvent) -> bool:
    """Whether the task ran."""
    with platform_scope(reason="assert"):
        return OutboxEvent.objects.get(pk=event.pk).done_at is not None


def handles_a_message(broker: Broker, worker: Program) -> None:
    """Sends platform tasks as beat does, one every few seconds, and sees one done.

    Not one alone: Valkey's transport takes a message off the queue before it is noted as taken, so what a breaking
    connection carries is gone. A consumer that stopped consuming fails here all the same.
    """
    event = announce()
    last = 0.0

    def rung_and_delivered() -> bool:
        nonlocal last
        if time.monotonic() - last >= 3:
            last = time.monotonic()
            ring(broker)
        return is_delivered(event)

    wait_for(rung_and_delivered, worker)


def test_j5_cut_connections_are_made_again_every_time(worker: Program, broker: Broker) -> None:
    for _ in range(3):
        assert broker.cut() > 0
        handles_a_message(broker, worker)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_j5_a_restarted_broker_is_found_again(worker: Program, broker: Broker, how: signal.Signals) -> None:
    for _ in range(2):
        broker.stop(how)
        broker.start()
        handles_a_message(broker, worker)


def test_j5_a_broker_that_fails_over_is_used_again(worker: Program, broker: Broker) -> None:
    for _ in range(2):
        broker.tell("REPLICAOF", "127.0.0.1", "9")  # from now on every write is refused: READONLY
        broker.cut()
        time.sleep(3)
        broker.tell("REPLICAOF", "NO", "ONE")
        handles_a_message(broker, worker)
    assert "Unrecoverable" not in worker.output()


def test_j5_a_connection_that_falls_silent_is_given_up(start_on: Callable[[str], Program], broker: Broker) -> None:
    relay = Relay(broker.port)
    worker = start_on(broker.url.replace(f":{broker.port}/", f":{relay.port}/"))
    for _ in range(2):
        assert relay.silence() > 0
        handles_a_message(broker, worker)
    relay.close()


def test_j5_without_a_broker_the_worker_waits_for_one(start: Callable[..., Program], broker: Broker) -> None:
    broker.stop()
    # The broker alone: with a movable clock no program starts without Valkey itself.
    worker = start(str(ROOT / "manage.py"), "worker", "--queues", "platform", CELERY_BROKER_URL=broker.url)
    wait_for(lambda: "Cannot connect" in worker.output(), worker)
    broker.start()
    handles_a_message(broker, worker)


def test_sigterm_lets_the_running_task_end_and_gives_the_rest_back(worker: Program, broker: Broker) -> None:
    event = announce()
    owner = connections["owner"]
    with transaction.atomic(using="owner"), owner.cursor() as cursor:
        cursor.execute("LOCK TABLE kernel_outboxevent IN ACCESS EXCLUSIVE MODE")  # both of the worker's threads wait
        ring(broker, 5)
        wait_for(lambda: waiting_for_a_lock() == 2, worker)
        worker.process.send_signal(signal.SIGTERM)
        time.sleep(3)
        assert worker.process.poll() is None
    assert worker.process.wait(30) == 0
    assert is_delivered(event)
    assert broker.waiting("platform") == 3
    assert "Traceback" not in worker.output()


def waiting_for_a_lock() -> int:
    """Connections of this test's database that wait for one."""
    with connections["owner"].cursor() as cursor:
        cursor.execute(
            "SELECT count(DISTINCT pid) FROM pg_locks WHERE NOT granted AND relation = 'kernel_outboxevent'::regclass"
        )
        return cursor.fetchone()[0]


def test_sigterm_while_platform_tasks_flow_leaves_no_traceback(worker: Program, broker: Broker) -> None:
    for _ in range(20):
        announce()
    ring(broker, 300)
    assert worker.stop() == 0
    left = broker.waiting("platform")
    assert 0 < left < 300
    assert "Traceback" not in worker.output()
    assert "hangs" not in worker.output()


def test_sigterm_without_a_broker_is_obeyed_at_once(worker: Program, broker: Broker) -> None:
    broker.stop(signal.SIGKILL)
    wait_for(lambda: "Cannot connect" in worker.output(), worker)
    began = time.monotonic()
    assert worker.stop() == 0
    assert time.monotonic() - began < 10
    # What the broker's death itself interrupted may have said so before.
    assert "Traceback" not in worker.output().rpartition("told to stop")[2], worker.output()
