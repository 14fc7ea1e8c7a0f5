"""The development runner: several programs in one terminal, restarted when their code changes or when they fall over.

One thread starts, reads and stops everything (the kernel ties "die with your parent" to the thread that started a
program); a second one only watches files.
"""

import logging
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import IO

from millrace.embedded.processes import die_with_parent

COLOURS = (36, 33, 32, 35, 34, 96)
STOP_SECONDS = 15.0  # a worker may finish what it does
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0  # before a fallen program starts again
STEADY = 10.0  # a program that ran this long starts again after the first pause
LOOK_EVERY = 0.25
CHORE_EVERY = 1.0


@dataclass
class Program:
    """One command of the runner; `suffixes` are the files whose change restarts it."""

    name: str
    command: Sequence[str]
    suffixes: tuple[str, ...] = (".py",)
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    start_at: float = 0.0
    pause: float = FIRST_PAUSE
    unfinished: bytes = b""
    prefix: str = field(default="", init=False)


class Runner:
    """Runs `programs` until Ctrl-C, SIGTERM or the terminal's end; then stops them all.

    `first_chore` is tried once a second until it answers True: what can only be done once a program is up.
    """

    def __init__(
        self,
        programs: Sequence[Program],
        *,
        folder: Path,
        watched: Sequence[Path],
        environment: Mapping[str, str],
        output: IO[str] | None = None,
        seconds_to_stop: float = STOP_SECONDS,
        first_chore: Callable[[], bool] | None = None,
    ) -> None:
        self.programs = list(programs)
        self.folder = folder
        self.watched = [path for path in watched if path.exists()]
        self.environment = dict(environment)
        self.output = output or sys.stdout
        self.seconds_to_stop = seconds_to_stop
        self.is_stopping = False
        self.first_chore = first_chore
        self._chore_at = 0.0
        self._changed: set[str] = set()
        self._changed_guard = threading.Lock()
        self._selector = selectors.DefaultSelector()
        self._name_programs()

    def run(self) -> None:
        """Run until told to stop; returns when every program has ended."""
        stop_watching = threading.Event()
        watcher = threading.Thread(target=self._watch, args=(stop_watching,), name="file watcher", daemon=True)
        with _signals(self._ask_to_stop):
            watcher.start()
            try:
                while not self.is_stopping:
                    self._start_due()
                    self._read()
                    self.restart_changed()
                    self._note_fallen()
                    self._try_chore()
            finally:
                stop_watching.set()
                self._stop(self.programs)
                watcher.join(timeout=5)

    def say(self, text: str, program: Program | None = None) -> None:
        """Print one line under the program's prefix, or the runner's own."""
        self.output.write(f"{program.prefix if program else self._own_prefix}{text}\n")
        self.output.flush()

    def _try_chore(self) -> None:
        if self.first_chore and time.monotonic() >= self._chore_at:
            self._chore_at = time.monotonic() + CHORE_EVERY
            if self.first_chore():
                self.first_chore = None

    def _name_programs(self) -> None:
        width = max([len(program.name) for program in self.programs] + [len("millrace")])
        in_colour = self.output.isatty() and "NO_COLOR" not in self.environment
        for number, program in enumerate(self.programs):
            program.prefix = f"{program.name:<{width}} | "
            if in_colour:
                program.prefix = f"\033[{COLOURS[number % len(COLOURS)]}m{program.prefix}\033[0m"
        self._own_prefix = f"{'millrace':<{width}} | "

    def _start_due(self) -> None:
        for program in self.programs:
            if program.process is None and time.monotonic() >= program.start_at:
                self._start(program)

    def _start(self, program: Program) -> None:
        program.started_at = time.monotonic()
        program.process = subprocess.Popen(
            program.command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=self.folder,
            env=self.environment,
            # A session of its own: Ctrl-C reaches the runner alone, which then stops the programs in order.
            start_new_session=True,
            preexec_fn=die_with_parent(signal.SIGTERM),
        )
        stream = program.process.stdout
        assert stream is not None  # noqa: S101 - asked for above
        os.set_blocking(stream.fileno(), False)
        self._selector.register(stream, selectors.EVENT_READ, program)

    def _read(self, wait: float = LOOK_EVERY) -> None:
        if not self._selector.get_map():
            time.sleep(wait)
        for key, _ in self._selector.select(wait):
            program: Program = key.data
            chunk = os.read(key.fd, 65536)
            if not chunk:
                self._selector.unregister(key.fileobj)
                continue
            *lines, program.unfinished = (program.unfinished + chunk).split(b"\n")
            for line in lines:
                self.say(line.decode(errors="replace").rstrip("\r"), program)

    def _note_fallen(self) -> None:
        for program in self.programs:
            if program.process is None or program.process.poll() is None:
                continue
            if time.monotonic() - program.started_at > STEADY:
                program.pause = FIRST_PAUSE
            self.say(f"ended with status {program.process.returncode}; again in {program.pause:g} s", program)
            self._forget(program)
            program.start_at = time.monotonic() + program.pause
            program.pause = min(program.pause * 2, LONGEST_PAUSE)

    def note_changes(self, paths: set[str]) -> None:
        """Remember changed files for the next look."""
        with self._changed_guard:
            self._changed |= paths

    def restart_changed(self) -> None:
        """Restart the programs that the changed files concern."""
        with self._changed_guard:
            changed, self._changed = self._changed, set()
        stale = [program for program in self.programs if any(path.endswith(program.suffixes) for path in changed)]
        if stale:
            reason = min(path for path in changed if any(path.endswith(program.suffixes) for program in stale))
            names = ", ".join(program.name for program in stale)
            self.say(f"{Path(reason).name} changed: restarting {names}")
            self._stop(stale)
            for program in stale:
                program.start_at, program.pause = 0.0, FIRST_PAUSE

    def _stop(self, programs: Sequence[Program]) -> None:
        """SIGTERM to all at once, time to finish, then SIGKILL to whole sessions.

        Only the program itself is asked: a worker winds its own children down, with a checkpoint where there is one.
        """
        running = [program for program in programs if program.process is not None]
        for program in running:
            if program.process is not None:
                program.process.terminate()
        deadline = time.monotonic() + self.seconds_to_stop
        while time.monotonic() < deadline and any(_lives(program) for program in running):
            self._read(0.05)
        for program in running:
            if _lives(program):
                self.say(f"did not stop within {self.seconds_to_stop:g} s: killed", program)
            _kill_session(program)  # and whatever children it left behind
            self._forget(program)

    def _forget(self, program: Program) -> None:
        """Read what is left, close the pipe, reap the process."""
        process = program.process
        if process is None or process.stdout is None:
            return
        process.wait()
        while True:
            try:
                chunk = os.read(process.stdout.fileno(), 65536)
            except BlockingIOError:
                break  # a grandchild still holds the other end
            if not chunk:
                break
            program.unfinished += chunk
        for line in program.unfinished.decode(errors="replace").splitlines():
            self.say(line, program)
        program.unfinished = b""
        if process.stdout in {key.fileobj for key in self._selector.get_map().values()}:
            self._selector.unregister(process.stdout)
        process.stdout.close()
        program.process = None

    def _watch(self, stop: threading.Event) -> None:
        from watchfiles import watch  # development only: not in the web image

        logging.getLogger("watchfiles").setLevel(logging.WARNING)  # what changed is said in a line of our own
        for changes in watch(*self.watched, stop_event=stop, rust_timeout=500, yield_on_timeout=False):
            self.note_changes({path for _, path in changes})

    def _ask_to_stop(self, number: int, frame: FrameType | None) -> None:
        self.is_stopping = True


def _lives(program: Program) -> bool:
    return program.process is not None and program.process.poll() is None


def _kill_session(program: Program) -> None:
    if program.process is not None:
        try:
            os.killpg(program.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return  # the whole session has ended already


@contextmanager
def _signals(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Handle the signals that ask a terminal program to end, and put the former handlers back."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    former = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, old in former.items():
            signal.signal(number, old)
