"""The development runner: prefixes, restarts on change and after a fall, and a clean end on Ctrl-C."""

import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from millrace.embedded.dev import Program, Runner
from millrace.embedded.places import ROOT

RUN = """
import os, sys
from pathlib import Path
from millrace.embedded.dev import Program, Runner
folder = Path(sys.argv[1])
programs = [Program(path.stem, [sys.executable, "-u", str(path)]) for path in sorted(folder.glob("program_*.py"))]
tried = []
def chore():
    tried.append(1)
    print("chore", len(tried), flush=True)
    return len(tried) == 2
Runner(programs, folder=folder, watched=[folder], environment=os.environ, seconds_to_stop=2, first_chore=chore).run()
print("all stopped", flush=True)
"""
STEADY = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: (print("goodbye"), sys.exit(0)))
print("hello")
while True: time.sleep(0.1)
"""
STUBBORN = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print("child", child.pid)
while True: time.sleep(0.1)
"""
# Winds its child down by itself: the child must not be signalled by anybody else.
SUPERVISOR = """
import signal, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1); print('work finished')"])
def stop(*_):
    child.wait()
    print("child ended with", child.returncode)
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)
print("supervising")
signal.pause()
"""


class Terminal:
    """A runner in a process of its own, and what it has printed so far."""

    def __init__(self, folder: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", RUN, str(folder)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=os.environ | {"PYTHONPATH": str(ROOT / "platform")},
            start_new_session=True,
        )
        assert self.process.stdout is not None
        os.set_blocking(self.process.stdout.fileno(), False)
        self.text = ""

    def shows(self, wanted: str, *, times: int = 1, seconds: float = 60) -> bool:
        """Wait until `wanted` stood on the screen so many times."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self._read()
            if self.text.count(wanted) >= times:
                return True
            time.sleep(0.05)
        return False

    def end(self, number: signal.Signals = signal.SIGINT) -> int:
        """Signal the runner and wait for it; its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        status = self.process.wait(60)
        self._read()
        return status

    def _read(self) -> None:
        assert self.process.stdout is not None
        self.text += (self.process.stdout.read() or b"").decode()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder whose program_*.py the runner runs and watches."""
    return tmp_path


@pytest.fixture
def terminal(folder: Path) -> Iterator[list[Terminal]]:
    """Where a test puts its runner, so that none outlives it."""
    opened: list[Terminal] = []
    yield opened
    for each in opened:
        each.end(signal.SIGTERM)


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_lines_are_prefixed_and_all_programs_end_with_the_runner(
    folder: Path, terminal: list[Terminal], number: signal.Signals
):
    (folder / "program_a.py").write_text(STEADY)
    (folder / "program_b.py").write_text(STEADY)
    terminal.append(Terminal(folder))
    assert terminal[0].shows("program_a | hello")
    assert terminal[0].shows("program_b | hello")

    status = terminal[0].end(number)

    assert status == 0
    assert "program_a | goodbye" in terminal[0].text
    assert "program_b | goodbye" in terminal[0].text
    assert terminal[0].text.rstrip().endswith("all stopped")


def test_a_changed_file_restarts_the_programs(folder: Path, terminal: list[Terminal]):
    (folder / "program_a.py").write_text(STEADY)
    terminal.append(Terminal(folder))
    assert terminal[0].shows("hello")

    # The watcher does not say when it begins to watch: the file is changed until it has seen a change.
    deadline = time.monotonic() + 60
    while not terminal[0].shows("program_a.py changed: restarting program_a", seconds=1):
        assert time.monotonic() < deadline
        (folder / "program_a.py").write_text(STEADY.replace("hello", "hello again"))

    assert terminal[0].shows("program_a | hello again")


def test_a_file_of_another_kind_restarts_nothing_and_is_not_named(folder: Path):
    said = io.StringIO()
    programs = [Program("pages", ["true"], suffixes=(".py", ".html")), Program("work", ["true"])]
    runner = Runner(programs, folder=folder, watched=[], environment={}, output=said)

    runner.note_changes({"/room/a-note.txt"})
    runner.restart_changed()
    assert said.getvalue() == ""
    runner.note_changes({"/room/a-note.txt", "/room/base.html"})
    runner.restart_changed()

    assert said.getvalue() == "millrace | base.html changed: restarting pages\n"


def test_a_program_that_falls_is_started_again(folder: Path, terminal: list[Terminal]):
    (folder / "program_a.py").write_text("import sys; print('up'); sys.exit(3)")
    terminal.append(Terminal(folder))

    assert terminal[0].shows("program_a | ended with status 3; again in 1 s")
    assert terminal[0].shows("program_a | up", times=2)
    assert terminal[0].shows("again in 2 s")


def test_a_program_winds_its_own_children_down(folder: Path, terminal: list[Terminal]):
    (folder / "program_a.py").write_text(SUPERVISOR)
    terminal.append(Terminal(folder))
    assert terminal[0].shows("supervising")

    terminal[0].end()

    assert "program_a | work finished" in terminal[0].text
    assert "program_a | child ended with 0" in terminal[0].text


def test_a_stubborn_program_is_killed_with_its_children(folder: Path, terminal: list[Terminal]):
    (folder / "program_a.py").write_text(STUBBORN)
    terminal.append(Terminal(folder))
    assert terminal[0].shows("child ")
    child = int(terminal[0].text.split("child ")[1].split()[0])

    status = terminal[0].end()

    assert status == 0
    assert "did not stop within 2 s: killed" in terminal[0].text
    assert not _lives(child)


def test_programs_die_with_a_killed_runner(folder: Path, terminal: list[Terminal]):
    (folder / "program_b.py").write_text("import os, time; print('pid', os.getpid())\nwhile True: time.sleep(0.1)")
    terminal.append(Terminal(folder))
    assert terminal[0].shows("pid ")
    pid = int(terminal[0].text.split("pid ")[1].split()[0])

    terminal[0].end(signal.SIGKILL)

    deadline = time.monotonic() + 60
    while _lives(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _lives(pid)


def test_the_first_chore_is_tried_until_it_is_done(folder: Path, terminal: list[Terminal]):
    (folder / "program_a.py").write_text(STEADY)
    terminal.append(Terminal(folder))

    assert terminal[0].shows("chore 2")
    assert not terminal[0].shows("chore 3", seconds=2)
