"""This room's row of `manage.py bench`: usage events over HTTP beside the plain INSERT that a database alone does."""

import http.client
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from uuid import UUID

from django.conf import settings
from django.db import connection

from accounts.services.api_keys import api_key_create
from accounts.services.tenants import tenant_create
from billing.models import UsageEvent
from billing.services.usage import meter_register
from millrace.kernel import clock, outbox
from millrace.kernel.audit import Actor
from millrace.kernel.benchmark import Row
from millrace.kernel.ids import uuid7
from millrace.kernel.tenancy import tenant_scope

_ACTOR = Actor.system("bench")
_BATCH = 1000
_BATCHES = 30
_CLIENTS = 2
_TURNS = 5
_START_SECONDS = 60.0
_PLAIN = """
    INSERT INTO billing_usageevent
        (id, created_at, tenant_id, meter, quantity, occurred_at, key, properties)
    SELECT id, %s, %s, %s, 1, %s, key, '{}'::jsonb FROM unnest(%s::uuid[], %s::text[]) AS fresh (id, key)
    ON CONFLICT (tenant_id, key) DO NOTHING
"""


def rows() -> list[Row]:
    """Measure; takes about half a minute."""
    tenant = tenant_create(name="Bench", owner=None, actor=_ACTOR)
    outbox.drain()
    with tenant_scope(tenant.pk):
        meter = meter_register(tenant_id=tenant.pk, name="own:bench", actor=_ACTOR).name
        secret = api_key_create(tenant=tenant, name="bench", scopes=["usage"], actor=_ACTOR)[1]
    turns: dict[str, list[float]] = {"over HTTP": [], "plain INSERT": []}
    with _web() as port:
        # The first turn of each is not counted: the web loads its modules, the database fills its caches.
        for turn in range(1 + _TURNS):
            turns["over HTTP"].append(_rate(_posts(port, secret, meter, f"http-{turn}")))
            turns["plain INSERT"].append(_rate(_inserts(tenant.pk, meter, f"plain-{turn}")))
    turns = {who: figures[1:] for who, figures in turns.items()}
    with tenant_scope(tenant.pk):
        stored = UsageEvent.objects.filter(tenant_id=tenant.pk).count()
    if stored != 2 * (1 + _TURNS) * _CLIENTS * _BATCHES * _BATCH:
        raise RuntimeError(f"{stored} events are stored, which is not what was sent")
    return [
        Row(
            name="usage events",
            ours=statistics.median(turns["over HTTP"]),
            theirs=statistics.median(turns["plain INSERT"]),
            unit="events/s",
            beside="plain INSERT … ON CONFLICT",
            target=0.5,
            note=f"{_CLIENTS} clients, {_BATCH} events a request or statement; ours are authenticated and validated",
            turns=turns,
        )
    ]


def _rate(works: list[Callable[[], None]]) -> float:
    """Events a second of all clients together, each a thread."""
    failures: list[Exception] = []

    def run(work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as failure:  # noqa: BLE001 - raised again below, in the thread that measures
            failures.append(failure)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    started = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = time.monotonic() - started
    if failures:
        raise failures[0]
    return round(_CLIENTS * _BATCHES * _BATCH / took, 1)


def _keys(turn: str, client: int) -> list[list[str]]:
    return [[f"{turn}-{client}-{batch}-{place}" for place in range(_BATCH)] for batch in range(_BATCHES)]


def _posts(port: int, secret: str, meter: str, turn: str) -> list[Callable[[], None]]:
    """Each client's batches over one connection. What a client writes is written before: its time is not the door's."""
    at = clock.now().isoformat()
    return [
        partial(_post, port, secret, [_body(meter, at, keys) for keys in _keys(turn, client)])
        for client in range(_CLIENTS)
    ]


def _body(meter: str, at: str, keys: list[str]) -> bytes:
    events = [{"meter": meter, "quantity": 1, "occurred_at": at, "idempotency_key": key} for key in keys]
    return json.dumps({"events": events}).encode()


def _post(port: int, secret: str, bodies: list[bytes]) -> None:
    web = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    headers = {"Authorization": f"Bearer {secret}", "Content-Type": "application/json"}
    for body in bodies:
        web.request("POST", "/v1/usage-events", body, headers)
        answer = web.getresponse()
        said = answer.read()
        if answer.status >= 300:
            raise RuntimeError(f"{answer.status}: {said[:300]!r}")
    web.close()


def _inserts(tenant_id: UUID, meter: str, turn: str) -> list[Callable[[], None]]:
    """Each client's batches, straight into the table."""
    return [
        partial(_insert, tenant_id, meter, [([uuid7() for _ in keys], keys) for keys in _keys(turn, client)])
        for client in range(_CLIENTS)
    ]


def _insert(tenant_id: UUID, meter: str, batches: list[tuple[list[UUID], list[str]]]) -> None:
    now = clock.now()
    for ids, keys in batches:
        with tenant_scope(tenant_id), connection.cursor() as cursor:
            cursor.execute(_PLAIN, [now, tenant_id, meter, now, ids, keys])


@contextmanager
def _web() -> Iterator[int]:
    """The web on a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    path = os.pathsep.join([str(settings.ROOT / "platform"), str(settings.ROOT)])
    process = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", "millrace.asgi:application", "--host", "127.0.0.1", "--port", str(port),
         "--log-level", "error", "--no-access-log", "--lifespan", "off"],
        cwd=settings.ROOT,
        env=os.environ | {"PYTHONPATH": path, "DEBUG": "0", "LOG_LEVEL": "ERROR"},
    )  # fmt: skip
    try:
        _wait_for(port, process)
        yield port
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def _wait_for(port: int, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise RuntimeError("the web did not start")
