"""The stage of the demo: empty services, and the same programs that production runs, on one machine."""

import io
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import httpx
import psycopg
from django.conf import settings
from django.core.management import call_command
from django.db import connections
from psycopg import sql

from millrace.embedded.locks import FileLock
from millrace.embedded.processes import end, free_port, spawn, wait_ready
from millrace.kernel import clock, storage, valkey
from millrace.story import business_time
from millrace.story.business_time import sandbox
from millrace.story.people import StoryError


@dataclass
class Stage:
    """Where the story plays: the web's address and the programs behind it."""

    base_url: str
    folder: Path
    programs: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    commands: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def start(self, name: str, *command: str, **environment: str) -> subprocess.Popen[bytes]:
        """Start one program; its output goes to `var/demo/<name>.log`."""
        variables = os.environ | _service_addresses() | {"PUBLIC_BASE_URL": self.base_url} | environment
        self.commands[name] = command
        self.programs[name] = spawn(command, log=self.log(name), environment=variables, folder=settings.ROOT)
        return self.programs[name]

    def log(self, name: str) -> Path:
        """Where a program's output goes."""
        return self.folder / f"{name}.log"

    def kill(self, name: str) -> None:
        """End a program as a power cut would: it and everything it started in its session, at once."""
        process = self.programs.pop(name)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def restart(self, name: str) -> None:
        """Kill a program and start it again."""
        self.kill(name)
        self.start(name, *self.commands[name])

    def move_to(self, at: datetime) -> None:
        """Move business time, ours and Stripe's, and let what falls due happen."""
        business_time.move_to(at)


@contextmanager
def held(*, shared: bool = False) -> Iterator[None]:
    """These services are ours within the block: a performance empties them, so it wants nobody else at work on them;
    several who only work on them share them. StoryError where somebody is in the way."""
    kind = os.environ.get("MILLRACE_SERVICES", "dev")
    lock = FileLock(settings.VAR / f"stage.{kind}", shared=shared)
    if not lock.acquire(wait=False):
        raise StoryError(
            f"`make dev`, the demo or the chaos run is at work on the services {kind!r}: let it end first."
        )
    try:
        yield
    finally:
        lock.release()


@contextmanager
def raised(folder: Path) -> Iterator[Stage]:
    """Empty everything of earlier performances, start the programs, and stop them at the end, whatever happens."""
    with held():
        yield from _raised(folder)


def _raised(folder: Path) -> Iterator[Stage]:
    folder.mkdir(parents=True, exist_ok=True)
    for log in folder.glob("*.log"):
        log.unlink()
    _empty()
    port = free_port()
    stage = Stage(f"http://127.0.0.1:{port}", folder)
    try:
        _start_programs(stage, port)
        yield stage
    finally:
        for process in reversed(stage.programs.values()):
            end(process, seconds=20)
        business_time.leave(folder)


def _start_programs(stage: Stage, port: int) -> None:
    manage = (sys.executable, str(settings.ROOT / "manage.py"))
    uvicorn = (
        sys.executable,
        "-m",
        "uvicorn",
        "millrace.asgi:application",
        "--port",
        str(port),
        "--log-level",
        "warning",
    )
    web = stage.start(
        "web", *uvicorn, "--workers", "2",
        PYTHONPATH=os.pathsep.join([str(settings.ROOT / "platform"), str(settings.ROOT)]),
    )  # fmt: skip
    stage.start("platform-worker", *manage, "worker", "--queues", "platform")
    stage.start("serving", *manage, "serve")
    wait_ready(web, lambda: _answers(stage.base_url + "/readyz"), name="the web", log=stage.log("web"), seconds=60)
    sandbox(
        "POST",
        "/_sandbox/endpoint",
        {"url": f"{stage.base_url}/webhooks/stripe", "secret": settings.STRIPE_WEBHOOK_SECRET},
    )


def start_job_worker(stage: Stage) -> None:
    """The program that runs training jobs on this machine's processor."""
    manage = (sys.executable, str(settings.ROOT / "manage.py"))
    # Two slots share the cores, one thread each: on a machine this busy, two threads of one job wait for each other.
    stage.start("cpu-worker", *manage, "worker", "--queues", "cpu", "--cpu-slots", "2")


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


def _empty() -> None:
    """Drop every table, key, blob and Stripe object of the demo's services."""
    clock.travel_back()
    owner = settings.DATABASES["owner"]
    connections.close_all()
    with psycopg.connect(
        host=owner["HOST"], port=owner["PORT"], user=owner["USER"], password=owner["PASSWORD"], dbname=owner["NAME"],
        autocommit=True,
    ) as connection:  # fmt: skip
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
            "AND pid <> pg_backend_pid() AND usename IN (current_user, %s)", [settings.DATABASES["default"]["USER"]],
        )  # fmt: skip
        connection.execute(sql.SQL("DROP SCHEMA public CASCADE"))
        connection.execute(sql.SQL("CREATE SCHEMA public"))
    call_command("bootstrap", verbosity=0, stdout=io.StringIO())
    valkey.client().flushdb()
    shutil.rmtree(storage.root(), ignore_errors=True)
    storage.root.cache_clear()
    sandbox("POST", "/_sandbox/reset")


def _service_addresses() -> dict[str, str]:
    """This process's services, for the programs that it starts."""

    def url(entry: dict) -> str:
        return f"postgresql://{entry['USER']}:{entry['PASSWORD']}@{entry['HOST']}:{entry['PORT']}/{entry['NAME']}"

    return {
        "DATABASE_URL": url(settings.DATABASES["default"]),
        "DATABASE_OWNER_URL": url(settings.DATABASES["owner"]),
        "VALKEY_URL": settings.VALKEY_URL,
        "STRIPE_SECRET_KEY": settings.STRIPE_SECRET_KEY,
        "STRIPE_WEBHOOK_SECRET": settings.STRIPE_WEBHOOK_SECRET,
        "STRIPE_API_BASE": settings.STRIPE_API_BASE,
        "STORAGE_URL": settings.STORAGE_URL,
        "DJANGO_SETTINGS_MODULE": "millrace.settings.dev",
        "DEBUG": "0",
        # A month in minutes: a dead worker is noticed, and work is saved, after seconds.
        "JOB_LEASE_SECONDS": "6",
        "JOB_CHECKPOINT_SECONDS": "4",
    }
