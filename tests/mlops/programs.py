"""Our own programs, started on the test's database and Valkey."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import connections

from millrace.kernel.tenancy import platform_scope
from mlops.models import Job

ROOT = Path(__file__).resolve().parents[2]
LEASE_SECONDS = 3
WAIT_SECONDS = 300  # a loaded machine gives a program a fifth of a core; tests of programs need a longer timeout mark


def database_url() -> str:
    """The test's database, as an address for another process."""
    at = connections["default"].settings_dict
    return f"postgresql://{at['USER']}:{at['PASSWORD']}@{at['HOST']}:{at['PORT']}/{at['NAME']}"


class Program:
    """A program of ours on the test's database and Valkey."""

    def __init__(self, folder: Path, *command: str, **environment: str) -> None:
        self.log = (folder / f"program-{time.monotonic_ns()}.log").open("w+")
        self.process = subprocess.Popen(
            [sys.executable, *command],
            cwd=ROOT,
            stdout=self.log,
            stderr=subprocess.STDOUT,
            env=os.environ
            | {
                "DJANGO_SETTINGS_MODULE": "millrace.settings.dev",
                "PYTHONPATH": f"{ROOT / 'platform'}:{ROOT}",
                "DATABASE_URL": database_url(),
                "VALKEY_URL": settings.VALKEY_URL,
                "STORAGE_URL": settings.STORAGE_URL,
                "MILLRACE_VAR": str(folder),
                "STRIPE_API_BASE": "http://127.0.0.1:9",
                "STRIPE_WEBHOOK_SECRET": "unused",
                "JOB_LEASE_SECONDS": str(LEASE_SECONDS),
                "JOB_CHECKPOINT_SECONDS": "1",
            }
            | environment,
        )

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Signal it and wait."""
        self.process.send_signal(number)
        return self.process.wait(60)

    def output(self) -> str:
        """What it printed."""
        self.log.flush()
        return Path(self.log.name).read_text()


@pytest.fixture
def start(real_db: None, tmp_path: Path) -> Iterator[Callable[..., Program]]:
    """Starts programs and kills what is left of them."""
    started: list[Program] = []

    def run(*command: str, **environment: str) -> Program:
        started.append(Program(tmp_path, *command, **environment))
        return started[-1]

    yield run
    for program in started:
        if program.process.poll() is None:
            program.process.kill()
            program.process.wait()
        program.log.close()


@pytest.fixture
def start_worker(start: Callable[..., Program]) -> Callable[..., Program]:
    """Starts `manage.py worker` on the processor."""
    return lambda **environment: start(str(ROOT / "manage.py"), "worker", "--queues", "cpu", **environment)


def job_now(job: Job) -> Job:
    """The job as it stands."""
    with platform_scope(reason="assert"):
        return Job.objects.get(pk=job.pk)


def wait_for(what: Callable[[], Any], program: Program) -> Any:
    """Poll until true; fails with the program's log."""
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        found = what()
        if found:
            return found
        if program.process.poll() is not None:
            pytest.fail(f"the program ended:\n{program.output()}")
        time.sleep(0.1)
    pytest.fail(f"not in {WAIT_SECONDS} s:\n{program.output()}")
