"""Finding the embedded services, starting them where they do not run, and stopping them."""

import functools
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from millrace.embedded.errors import EmbeddedError
from millrace.embedded.locks import FileLock, is_locked
from millrace.embedded.places import ROOT, Home, var
from millrace.embedded.processes import port_answers, tail
from millrace.embedded.state import State, load_secrets

START_SECONDS = 90.0  # initdb on a slow disk
STOP_SECONDS = 30.0

# What this process uses, held until it ends; and keepers it started, kept so that they can be reaped.
_held: dict[str, FileLock] = {}
_started: list[subprocess.Popen[bytes]] = []


@dataclass(frozen=True)
class Services:
    """Addresses of the running services, each with its password in it.

    `database_url` is the application's role (`manage.py bootstrap` creates it with the password in this URL);
    `stripe_base` is empty where the checkout has no sandbox.
    """

    kind: str
    database_url: str
    database_url_owner: str
    superuser_url: str
    valkey_url: str
    stripe_base: str
    stripe_webhook_secret: str
    folder: Path


def ensure_services(kind: str = "dev") -> Services:
    """The services of `kind` (one of KINDS), started if need be; they stay while this process lives.

    Takes a few milliseconds when they run already. Raises `EmbeddedError` when one will not start.
    """
    home = Home(kind)
    try:
        home.prepare()
        if kind not in _held:
            held = FileLock(home.holding, shared=True)
            held.acquire()  # waits for a keeper that is just stopping
            _held[kind] = held
        state = _healthy(home)
        if state is None:
            with FileLock(home.starting):
                state = _healthy(home) or _healed(home) or _start(home)
        return _services(home, state)
    except PermissionError as error:
        raise EmbeddedError(
            f"{error.filename} belongs to another user: run as that user, delete the folder, or set MILLRACE_VAR"
        ) from error


@functools.cache
def services_for(kind: str) -> Services:
    """`ensure_services`, once a process: for settings modules."""
    return ensure_services(kind)


def stop_services(kind: str = "dev") -> bool:
    """Stop the services of `kind` whoever uses them; False when they were not running."""
    home = Home(kind)
    services_for.cache_clear()
    held = _held.pop(kind, None)
    if held:
        held.release()
    if not is_locked(home.keeping):
        return False
    _end_keeper(home)
    return True


def _healthy(home: Home) -> State | None:
    """The state, where a keeper lives, says that all is ready, and every port answers."""
    if not is_locked(home.keeping):
        return None
    state = State.read(home)
    if state is None or not state.is_ready:
        return None
    return state if all(port_answers(part.port) for part in state.parts.values()) else None


def _healed(home: Home) -> State | None:
    """Give a living keeper the time to finish starting or replacing a server; end it when it does not."""
    deadline = time.monotonic() + START_SECONDS
    while is_locked(home.keeping) and time.monotonic() < deadline:
        state = _healthy(home)
        if state:
            return state
        time.sleep(0.05)
    if is_locked(home.keeping):
        _end_keeper(home)
    return None


def _start(home: Home) -> State:
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(ROOT / "platform"), str(ROOT)]),
        "MILLRACE_VAR": str(var()),  # whole, since the keeper runs in another folder
    }
    with home.keeper_log.open("ab") as output:
        keeper = subprocess.Popen(
            [sys.executable, "-m", "millrace.embedded.keeper", home.kind],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C in the terminal is for the command, not for the servers
            env=environment,
            cwd=ROOT,
        )
    _started.append(keeper)
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        state = _healthy(home)
        if state and state.keeper == keeper.pid:
            return state
        if keeper.poll() is not None:
            failed = State.read(home)
            reason = failed.error if failed and failed.keeper == keeper.pid else ""
            raise EmbeddedError(
                reason or f"the keeper ended at start; {home.keeper_log} ends:\n{tail(home.keeper_log)}"
            )
        time.sleep(0.02)
    _end_keeper(home)
    raise EmbeddedError(f"the services were not ready after {START_SECONDS:g} s; see {home.keeper_log}")


def _end_keeper(home: Home) -> None:
    state = State.read(home)
    deadline = time.monotonic() + STOP_SECONDS
    if state is None:
        return
    # The lock is held, so the process id in the file is the keeper's own and no reused number.
    os.kill(state.keeper, signal.SIGTERM)
    while is_locked(home.keeping):
        if time.monotonic() > deadline:
            os.kill(state.keeper, signal.SIGKILL)  # the kernel then ends the servers
            deadline += STOP_SECONDS
        time.sleep(0.02)
    for keeper in _started:
        keeper.poll()


def _services(home: Home, state: State) -> Services:
    secrets = load_secrets(home)
    database = f"127.0.0.1:{state.parts['postgres'].port}"
    sandbox = state.parts.get("sandbox")
    return Services(
        kind=home.kind,
        database_url=f"postgres://millrace_app:{secrets['millrace_app']}@{database}/millrace",
        database_url_owner=f"postgres://millrace_owner:{secrets['millrace_owner']}@{database}/millrace",
        superuser_url=f"postgres://postgres:{secrets['postgres']}@{database}/postgres",
        valkey_url=f"redis://:{secrets['valkey']}@127.0.0.1:{state.parts['valkey'].port}/0",
        stripe_base=f"http://127.0.0.1:{sandbox.port}" if sandbox else "",
        stripe_webhook_secret=f"whsec_{secrets['stripe_webhook']}",
        folder=home.folder,
    )
