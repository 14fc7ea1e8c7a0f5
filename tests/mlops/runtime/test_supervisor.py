"""The supervisor against processes that behave and processes that do not."""

import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from mlops.runtime.processes import ProcessIdentity, has_exited, signal_group
from mlops.runtime.spec import EVENT_KINDS, OUTCOME_CODES, JobSpec, ProcessLimits
from mlops.runtime.supervisor import run_child

ROOT = Path(__file__).resolve().parents[3]


class Watcher:
    """Collects events; cancels or loses the lease when told."""

    def __init__(self):
        self.events = []
        self.beats = []
        self.cancel_at = None

    def on_event(self, event):
        self.events.append(event)

    def should_cancel(self):
        return self.cancel_at is not None and any(event.kind == self.cancel_at for event in self.events)

    def heartbeat(self, beat):
        self.beats.append(beat)
        return True

    def kinds(self):
        return [event.kind for event in self.events]


def run(workdir, script, watcher=None, limits=None, params=None, **options):
    watcher = watcher or Watcher()
    spec = JobSpec("train", "none", {"script": script} | (params or {}), "none", str(workdir / "out"))
    options = {
        "on_event": watcher.on_event,
        "should_cancel": watcher.should_cancel,
        "heartbeat": watcher.heartbeat,
    } | options
    outcome = run_child(
        spec,
        workdir=workdir,
        limits=limits or ProcessLimits(wall_seconds=60, grace_seconds=10),
        device_env={},
        program="tests.mlops.runtime.scripted_child",
        **options,
    )
    assert outcome.code in OUTCOME_CODES
    assert set(watcher.kinds()) <= set(EVENT_KINDS)
    return outcome


def assert_contiguous(outcome, first=0):
    for place, segment in enumerate(outcome.segments):
        assert segment.sequence == first + place
        assert isinstance(segment.start_ms, int)
        assert segment.end_ms >= segment.start_ms
    for before, after in zip(outcome.segments, outcome.segments[1:], strict=False):
        assert before.end_ms == after.start_ms


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until(condition, seconds=10):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.02)


def test_a_run_that_succeeds(tmp_path):
    watcher = Watcher()

    outcome = run(tmp_path, "finish", watcher, first_sequence=5)

    assert (outcome.state, outcome.code, outcome.exit_code) == ("succeeded", "ok", 0)
    assert outcome.result == {"answer": 42}
    assert outcome.checkpoint["step"] == 3
    assert [segment.disposition_hint for segment in outcome.segments] == ["billable"] * 4
    assert_contiguous(outcome, first=5)
    assert outcome.log.split() == ["out", "and", "err"]
    assert watcher.kinds()[:2] == ["segment_opened", "spawned"]
    assert watcher.kinds()[-2:] == ["segment", "ended"]


def test_device_time_is_all_the_time_between_start_and_end(tmp_path):
    before = time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000
    outcome = run(tmp_path, "finish")
    after = time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000

    assert outcome.device_ms == outcome.segments[-1].end_ms - outcome.segments[0].start_ms == outcome.billable_ms
    assert before <= outcome.segments[0].start_ms
    assert outcome.segments[-1].end_ms <= after


def test_a_segment_and_its_checkpoint_come_as_one_event(tmp_path):
    watcher = Watcher()
    run(tmp_path, "finish", watcher)

    closed = [event.data for event in watcher.events if event.kind == "segment"]
    assert [data["checkpoint"] and data["checkpoint"]["step"] for data in closed] == [1, 2, 3, None]
    opened = [event.data["start_ms"] for event in watcher.events if event.kind == "segment_opened"]
    assert opened == [data["start_ms"] for data in closed]


def test_cancel_lets_the_run_write_its_checkpoint(tmp_path):
    watcher = Watcher()
    watcher.cancel_at = "progress"

    outcome = run(tmp_path, "until_told", watcher)

    assert (outcome.state, outcome.code, outcome.exit_code) == ("canceled", "canceled", 0)
    assert outcome.checkpoint["step"] == 9
    assert {segment.disposition_hint for segment in outcome.segments} == {"billable"}
    assert_contiguous(outcome)


def test_a_deaf_run_is_killed_with_all_it_started(tmp_path):
    watcher = Watcher()
    watcher.cancel_at = "progress"

    outcome = run(tmp_path, "deaf", watcher, limits=ProcessLimits(grace_seconds=0.3))

    grandchild = next(event.data["grandchild"] for event in watcher.events if event.kind == "progress")
    assert (outcome.state, outcome.exit_code) == ("canceled", -signal.SIGKILL)
    assert outcome.segments[-1].disposition_hint == "lost"
    wait_until(lambda: not is_running(grandchild))


def test_what_a_finished_run_left_behind_is_ended(tmp_path):
    outcome = run(tmp_path, "leave_a_grandchild")

    wait_until(lambda: not is_running(outcome.result["grandchild"]))


def test_j3_too_much_memory_is_an_outcome_and_not_a_loop(tmp_path):
    outcome = run(tmp_path, "eat_memory", limits=ProcessLimits(memory_bytes=150_000_000, wall_seconds=60))

    assert (outcome.state, outcome.code) == ("failed", "out_of_memory")
    assert outcome.peak_memory_bytes > 150_000_000
    assert [segment.disposition_hint for segment in outcome.segments] == ["billable", "lost"]


def test_limits_of_time(tmp_path):
    slow = run(tmp_path / "a", "until_told", limits=ProcessLimits(wall_seconds=0.5, grace_seconds=10))
    busy = run(tmp_path / "b", "burn", limits=ProcessLimits(cpu_seconds=1, wall_seconds=60))

    assert (slow.state, slow.code) == ("failed", "time_limit")
    assert slow.checkpoint["step"] == 9
    assert (busy.code, busy.exit_code) == ("cpu_limit", -signal.SIGXCPU)


@pytest.mark.parametrize(
    ("script", "code"),
    [
        ("die", "crashed"),
        ("kill_itself", "crashed"),
        ("garble", "protocol_invalid"),
        ("point_outside", "protocol_invalid"),
        ("refuse", "params_invalid"),
    ],
)
def test_failures_are_coded_and_their_time_is_lost(tmp_path, script, code):
    outcome = run(tmp_path, script)

    assert (outcome.state, outcome.code) == ("failed", code)
    assert outcome.segments[-1].disposition_hint == "lost"
    assert outcome.result is None
    assert "\0" not in outcome.message


def test_a_flood_of_output_is_bounded(tmp_path):
    watcher = Watcher()

    outcome = run(tmp_path, "flood", watcher, limits=ProcessLimits(log_bytes=10_000, wall_seconds=60))

    shown = sum(len(event.data["text"]) for event in watcher.events if event.kind == "log")
    assert len(outcome.log) < 10_200
    assert outcome.log.endswith("the end")
    assert shown <= 5_000


def test_a_lost_lease_ends_the_run_in_silence(tmp_path):
    watcher = Watcher()
    beats = []

    def lose_after_two(beat):
        beats.append(beat)
        return len(beats) < 3

    outcome = run(tmp_path, "until_told", watcher, heartbeat=lose_after_two, heartbeat_seconds=0.1)

    assert (outcome.state, outcome.code, outcome.exit_code) == ("failed", "lease_lost", -signal.SIGKILL)
    assert outcome.checkpoint is None
    assert "ended" not in watcher.kinds()
    assert [beat.sequence for beat in beats] == [0, 0, 0]
    assert beats[0].start_ms <= beats[0].now_ms < beats[2].now_ms


def test_j8_an_error_in_the_caller_leaves_no_process_behind(tmp_path):
    watcher = Watcher()

    def fail_on_progress(event):
        watcher.on_event(event)
        if event.kind == "progress":
            raise ConnectionError("the database is gone")

    with pytest.raises(ConnectionError):
        run(tmp_path, "until_told", watcher, on_event=fail_on_progress)

    pid = next(event.data["pid"] for event in watcher.events if event.kind == "spawned")
    assert not is_running(pid)


def test_j8_a_killed_supervisor_takes_its_child_with_it(tmp_path):
    code = textwrap.dedent(f"""
        from pathlib import Path
        from tests.mlops.runtime.test_supervisor import run
        show = lambda event: event.kind == "started" and print(event.data["pid"], flush=True)
        run(Path({str(tmp_path)!r}), "until_told", on_event=show)
    """)
    supervisor = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    child = int(supervisor.stdout.readline())
    assert is_running(child)

    supervisor.kill()
    supervisor.wait()

    wait_until(lambda: not is_running(child))
    supervisor.stdout.close()


def test_the_child_has_no_secrets_no_network_and_a_session_of_its_own(tmp_path, monkeypatch):
    for name in ("DATABASE_URL", "STRIPE_SECRET_KEY", "SECRET_KEY", "AWS_SECRET_ACCESS_KEY", "PGPASSWORD"):
        monkeypatch.setenv(name, "hidden")
    with socket.create_server(("127.0.0.1", 0)) as server:
        outcome = run(tmp_path, "tell_surroundings", params={"port": server.getsockname()[1]})

    told = outcome.result
    assert "hidden" not in told["environment"].values()
    assert told["environment"]["CUDA_VISIBLE_DEVICES"] == ""
    assert told["reached"] != "connected"
    assert told["session"] == told["pid"] != os.getsid(0)
    assert told["stdin"] == "/dev/null"
    assert told["privileges"] == 1


def test_the_started_event_says_how_the_network_was_left(tmp_path):
    watcher = Watcher()
    run(tmp_path, "finish", watcher)

    started = next(event.data for event in watcher.events if event.kind == "started")
    assert started["network"] in ("namespace", "user_namespace", "guard")


def test_j6_the_child_is_a_fresh_interpreter_and_no_fork_of_its_parent(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", sys)

    outcome = run(tmp_path, "tell_surroundings", params={"port": 1})

    assert outcome.result["torch"] is False
    assert outcome.result["command"][:3] == [sys.executable, "-m", "tests.mlops.runtime.scripted_child"]


def test_the_output_must_lie_in_the_work_folder(tmp_path):
    spec = JobSpec("train", "none", {}, "none", "/var/elsewhere")

    with pytest.raises(ValueError, match="work folder"):
        run_child(
            spec,
            workdir=tmp_path,
            on_event=print,
            should_cancel=bool,
            heartbeat=bool,
            limits=ProcessLimits(),
            device_env={},
        )


# -- J4: a signal never reaches a process that took a number over ----------------------------------------------------


def sleeper():
    return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)


def test_j4_a_process_of_the_same_number_but_another_start_is_not_signalled():
    stranger = sleeper()
    try:
        real = ProcessIdentity.of(stranger.pid)
        dead_and_reused = ProcessIdentity(real.pid, real.start_ticks - 1, real.boot_id)
        other_boot = ProcessIdentity(real.pid, real.start_ticks, "00000000-0000-0000-0000-000000000000")

        assert signal_group(dead_and_reused, signal.SIGKILL) is False
        assert signal_group(other_boot, signal.SIGKILL) is False
        time.sleep(0.1)
        assert is_running(stranger.pid)

        assert signal_group(real, signal.SIGKILL) is True
        wait_until(lambda: not is_running(stranger.pid))
    finally:
        stranger.kill()
        stranger.wait()


def test_j4_nothing_is_sent_for_a_process_that_is_gone():
    gone = sleeper()
    identity = ProcessIdentity.of(gone.pid)
    gone.kill()
    gone.wait()

    assert signal_group(identity, signal.SIGTERM) is False


def test_j4_an_ended_child_keeps_its_number_until_the_supervisor_is_done_with_it():
    child = subprocess.Popen([sys.executable, "-c", ""], start_new_session=True)
    try:
        wait_until(lambda: has_exited(child.pid))

        assert has_exited(child.pid)
        assert Path(f"/proc/{child.pid}").exists()
    finally:
        assert child.wait() == 0
