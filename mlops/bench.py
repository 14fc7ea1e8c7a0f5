"""This room's rows of `manage.py bench`: predictions beside LitServe, a job's training beside the bare loop."""

import json
import logging
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from django.conf import settings

from accounts.models import Tenant
from accounts.services.api_keys import api_key_create
from accounts.services.tenants import tenant_create
from billing.selectors.plans import FREE_PLAN
from billing.services.catalogue import plan_create, price_version_publish
from millrace.kernel import outbox, storage
from millrace.kernel.audit import Actor
from millrace.kernel.benchmark import Row
from millrace.kernel.tenancy import tenant_scope
from mlops.benchmarks.client import request_bytes
from mlops.models import Job, JobState, ModelVersion
from mlops.selectors import model_versions
from mlops.services.datasets import dataset_builtin, dataset_open
from mlops.services.jobs import JobRequest, job_submit
from mlops.worker.discovery import DeviceLock, find_processor
from mlops.worker.runner import DeviceRunner

logger = logging.getLogger(__name__)
_ACTOR = Actor.system("bench")
_TURNS = 3
_SECONDS = 5.0
_CLIENTS = 32
_START_SECONDS = 60.0


def rows() -> list[Row]:
    """Measure; takes about two minutes."""
    return [predictions_row(), training_row()]


def training_row() -> Row:
    """Examples a second in a supervised job, with events and checkpoints, beside the same loop bare."""
    command = [sys.executable, "-m", "mlops.runtime.bench", "--turns", str(_TURNS)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found = json.loads(done.stdout)
    return Row(
        name="training in a job", ours=found["job"], theirs=found["bare"], unit="examples/s", beside="the bare loop",
        target=0.97, note="image-cnn, deep form, MNIST-5k, on the processor",
    )  # fmt: skip


def predictions_row() -> Row:
    """Predictions a second of 32 clients, metered, stored and billed, beside LitServe with the same network."""
    tenant, secret = _tenant()
    version = _trained(tenant)
    with tenant_scope(tenant.pk):
        picture = dataset_open(version.dataset_version).inputs[0].tolist()
    body = json.dumps({"inputs": [picture]}).encode()
    weights = str(storage.local_path(version.weights_key))
    turns: dict[str, list[float]] = {"ours": [], "LitServe": [], "ours p95 ms": [], "LitServe p95 ms": []}
    path = f"/v1/models/{version.model.public_id}/predict"
    ours = request_bytes(path, body, {"Authorization": f"Bearer {secret}"})
    theirs = request_bytes("/predict", body, {})
    for _ in range(_TURNS):
        with _millrace() as port:
            _note(turns, "ours", _measure(port, ours))
        with _program("-m", "mlops.benchmarks.litserve_app", "--weights", weights) as port:
            _note(turns, "LitServe", _measure(port, theirs))
    return Row(
        name="predictions",
        ours=statistics.median(turns["ours"]),
        theirs=statistics.median(turns["LitServe"]),
        unit="predictions/s",
        beside="LitServe",
        target=1.0,
        note=f"{_CLIENTS} clients, one picture a request; ours are stored, metered and billed, LitServe's are not",
        turns=turns,
    )


def _tenant() -> tuple[Tenant, str]:
    """A tenant with a key; its requests are not limited by the minute here."""
    plan = plan_create(
        code=FREE_PLAN, name="Bench", actor=_ACTOR, features=["train", "predict"],
        quotas={"cpu_ms": 10**12, "predictions": 10**12},
    )  # fmt: skip
    price_version_publish(plan=plan, currency=settings.BILLING_CURRENCY, actor=_ACTOR)
    tenant = tenant_create(name="Bench", owner=None, actor=_ACTOR)
    outbox.drain()
    with tenant_scope(tenant.pk):
        return tenant, api_key_create(tenant=tenant, name="bench", scopes=["admin"], actor=_ACTOR)[1]


def _trained(tenant: Tenant) -> ModelVersion:
    """A model made by a job, run by a device of this process."""
    job = _submitted(tenant)
    device = find_processor(0, 1)
    lock = DeviceLock.take(settings.VAR / "devices", device.name)
    stop = threading.Event()
    runner = DeviceRunner(device=device, folder=settings.VAR / "work" / "bench", stop=stop)
    if lock is not None:  # otherwise a worker of this machine does it
        runner.start()
    deadline = time.monotonic() + 180
    with tenant_scope(tenant.pk):
        while job.state not in (JobState.SUCCEEDED, JobState.FAILED) and time.monotonic() < deadline:
            time.sleep(0.2)
            job.refresh_from_db()
        stop.set()
        if lock is not None:
            runner.join()
            lock.release()
        if job.state != JobState.SUCCEEDED:
            raise RuntimeError(f"the bench's model could not be trained: {job.state} {job.reason}")
        return model_versions(tenant.pk, job.made.model_id).get(job=job)


def _submitted(tenant: Tenant) -> Job:
    with tenant_scope(tenant.pk):
        dataset, _ = dataset_builtin(tenant_id=tenant.pk, builtin="mnist-5k", actor=_ACTOR)
        request = JobRequest(
            kind="train", dataset_version=dataset, recipe="image-cnn", params={"form": "plain", "epochs": 2},
            time_limit_ms=120_000,
        )  # fmt: skip
        return job_submit(tenant_id=tenant.pk, request=request, actor=_ACTOR)


@contextmanager
def _millrace() -> Iterator[int]:
    """The web and a serving process."""
    web = ("-m", "uvicorn", "millrace.asgi:application", "--host", "127.0.0.1", "--log-level", "error",
           "--no-access-log", "--no-proxy-headers", "--lifespan", "off")  # fmt: skip
    serve = _start(str(settings.ROOT / "manage.py"), "serve", "--device", "cpu", "--threads", "1")
    try:
        with _program(*web) as port:
            yield port
    finally:
        serve.terminate()
        serve.wait()


@contextmanager
def _program(*command: str) -> Iterator[int]:
    """A server on a free port, until the block ends."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = _start(*command, "--port", str(port))
    try:
        _wait_for(port, process)
        yield port
    finally:
        # The whole session: LitServe's own processes outlive the one that started them.
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            logger.info("%s did not end when asked to", process.args)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _start(*command: str) -> "subprocess.Popen[bytes]":
    root = settings.ROOT
    environment = os.environ | {
        "PYTHONPATH": f"{root / 'platform'}{os.pathsep}{root}",
        "API_RATE_PER_MINUTE": "100000000",
        "LOG_LEVEL": "ERROR",
        "DEBUG": "0",
    }
    log = Path(tempfile.gettempdir()) / f"millrace-bench-{os.getpid()}.log"
    with log.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, *command],
            cwd=root,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _wait_for(port: int, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"{process.args!r} ended with {process.returncode}")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise RuntimeError(f"{process.args!r} did not answer in {_START_SECONDS:g} s")


def _wait_for_answer(port: int, request: bytes) -> None:
    """Until the first request is answered well: the model has to be loaded."""
    deadline = time.monotonic() + _START_SECONDS
    head = b""
    while time.monotonic() < deadline:
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(request)
            head = connection.recv(4096)
        if b" 200 " in head[:16]:
            return
        time.sleep(0.5)
    raise RuntimeError(f"no good answer in {_START_SECONDS:g} s, the last: {head[:300]!r}")


def _measure(port: int, request: bytes) -> dict[str, float]:
    """A short warm-up, then the figure."""
    _wait_for_answer(port, request)
    for seconds in (1.5, _SECONDS):
        command = [sys.executable, "-m", "mlops.benchmarks.client", "--port", str(port), "--clients", str(_CLIENTS),
                   "--seconds", str(seconds)]  # fmt: skip
        done = subprocess.run(command, input=request, capture_output=True, check=False, cwd=settings.ROOT)
        if done.returncode:
            raise RuntimeError(f"the clients broke off: {done.stderr.decode()[-500:]}")
    return json.loads(done.stdout)


def _note(turns: dict[str, list[float]], who: str, found: dict[str, float]) -> None:
    turns[who].append(round(found["per_second"], 1))
    turns[f"{who} p95 ms"].append(round(found["p95_ms"], 2))
