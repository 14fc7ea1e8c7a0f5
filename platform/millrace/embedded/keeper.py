"""The keeper: one small process per kind that owns the embedded servers and outlives the command that needed them.

It starts PostgreSQL, Valkey and the Stripe sandbox, replaces one that dies, and stops all of them when nobody uses
them any more, or on SIGINT or SIGTERM. When it is killed itself, the kernel ends the servers. Run by
`millrace.embedded.services`, as `python -m millrace.embedded.keeper <kind>`.
"""

import logging
import os
import signal
import subprocess
import sys
import time
from collections import deque
from dataclasses import dataclass, field
from types import FrameType

from millrace.embedded import postgres, sandbox, valkey
from millrace.embedded.errors import EmbeddedError
from millrace.embedded.locks import FileLock
from millrace.embedded.places import Home
from millrace.embedded.postgres import Postgres
from millrace.embedded.processes import end, free_port
from millrace.embedded.sandbox import Sandbox
from millrace.embedded.state import Running, State, load_secrets
from millrace.embedded.valkey import Valkey

LOOK_EVERY = 0.2  # seconds
LINGER = 3.0  # seconds the servers stay after their last user: the next command of a script finds them running
CRASHES, WITHIN = 4, 30.0  # a server that dies this often within so many seconds is given up

log = logging.getLogger("millrace.embedded.keeper")


@dataclass
class Part:
    """One server under the keeper's care."""

    name: str
    server: Postgres | Valkey | Sandbox
    stop_signal: signal.Signals
    process: subprocess.Popen[bytes] | None = None
    port: int | None = None
    crashes: deque[float] = field(default_factory=lambda: deque(maxlen=CRASHES))

    def start(self) -> None:
        """Start, on the former port where it is still free."""
        began = time.monotonic()
        self.port = free_port(self.port)
        self.process = self.server.start(self.port)
        took = time.monotonic() - began
        log.info("%s runs on port %d, pid %d, ready after %.2f s", self.name, self.port, self.process.pid, took)

    def has_died(self) -> bool:
        """Whether the process ended on its own."""
        return self.process is not None and self.process.poll() is not None

    def replace(self) -> None:
        """Start again after a crash; raise `EmbeddedError` when it crashes too often."""
        status = self.process.returncode if self.process else None
        log.warning("%s ended with status %s; starting it again", self.name, status)
        self.crashes.append(time.monotonic())
        if len(self.crashes) == CRASHES and self.crashes[-1] - self.crashes[0] < WITHIN:
            raise EmbeddedError(f"{self.name} ended {CRASHES} times within {WITHIN:g} s: see {self.server.log}")
        self.start()

    def stop(self) -> None:
        """Stop and wait for it."""
        if self.process:
            end(self.process, self.stop_signal)
            log.info("%s stopped", self.name)


class Keeper:
    """The servers of one kind, for as long as somebody uses them."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.is_asked_to_stop = False
        self.linger = float(os.environ.get("MILLRACE_LINGER", LINGER))
        passwords, disposable = load_secrets(home), home.kind == "test"
        self.parts = [
            Part("valkey", Valkey(home.folder, secrets=passwords, disposable=disposable), valkey.STOP_SIGNAL),
            Part("postgres", Postgres(home.folder, secrets=passwords, disposable=disposable), postgres.STOP_SIGNAL),
        ]
        if Sandbox.is_installed():
            stripe = Sandbox(home.folder)
            if disposable:
                stripe.forget()
            self.parts.append(Part("sandbox", stripe, sandbox.STOP_SIGNAL))
        former = State.read(home)
        if former:
            for part in self.parts:
                part.port = former.parts[part.name].port if part.name in former.parts else None

    def run(self) -> None:
        """Start everything, watch over it, stop it; returns when all is stopped."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._ask_to_stop)
        try:
            self._announce(is_ready=False)
            for part in self.parts:
                if not self.is_asked_to_stop:
                    part.start()
            self._announce(is_ready=True)
            self._watch()
        except EmbeddedError as error:
            log.error("%s", error)
            self._announce(is_ready=False, error=str(error))
            raise
        finally:
            for part in reversed(self.parts):
                part.stop()

    def _watch(self) -> None:
        unused_since: float | None = None
        holding = FileLock(self.home.holding)
        while not self.is_asked_to_stop:
            dead = [part for part in self.parts if part.has_died()]
            if dead:
                self._announce(is_ready=False)
                for part in dead:
                    part.replace()
                self._announce(is_ready=True)
            if holding.acquire(wait=False):
                unused_since = unused_since or time.monotonic()
                if time.monotonic() - unused_since >= self.linger:
                    # Kept until this process is gone: whoever comes now waits, and then finds no keeper.
                    log.info("nobody has used the servers for %g s: stopping them", self.linger)
                    return
                holding.release()
            else:
                unused_since = None
            time.sleep(LOOK_EVERY)

    def _announce(self, *, is_ready: bool, error: str = "") -> None:
        running = {
            part.name: Running(pid=part.process.pid, port=part.port)
            for part in self.parts
            if part.process and part.port
        }
        former = State.read(self.home)
        # Ports of servers that are yet to start stay remembered.
        ports = former.parts | running if former else running
        State(keeper=os.getpid(), is_ready=is_ready, error=error, parts=ports).write(self.home)

    def _ask_to_stop(self, number: int, frame: FrameType | None) -> None:
        self.is_asked_to_stop = True


def main(kind: str) -> int:
    """Keep the servers of `kind`; 0 after a clean stop or when another keeper is at it, 1 when one would not start."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    home = Home(kind)
    home.prepare()
    keeping = FileLock(home.keeping)
    if not keeping.acquire(wait=False):
        log.info("another keeper is at work")
        return 0
    try:
        Keeper(home).run()
    except EmbeddedError:
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
