"""Start a job in a process of its own, watch it, stop it, and measure its device time. No torch, no Django.

The caller records what it is told: `on_event` is called in this thread, in order, and whatever it raises ends the job's
process and is raised again. A closed segment and the checkpoint that closed it come as one event, so that they can be
written in one transaction: billed time is always behind a checkpoint or a result.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mlops.runtime.channel import BoundedLog, EventReader, ProtocolInvalid
from mlops.runtime.isolation import child_environment
from mlops.runtime.privileges import hand_over
from mlops.runtime.processes import (
    ProcessIdentity,
    group_resident_bytes,
    has_exited,
    machine_oom_kills,
    resident_bytes,
    signal_own_group,
)
from mlops.runtime.spec import (
    OUTCOME_CODES,
    TAIL_DISPOSITION,
    Beat,
    Disposition,
    Event,
    JobSpec,
    Outcome,
    ProcessLimits,
    Segment,
    State,
    boot_ms,
)

SOURCE_ROOT = Path(__file__).resolve().parents[2]
_TICK_SECONDS = 0.05
_CANCEL_SECONDS = 0.25
_MEMORY_SECONDS = 0.2
# Finding the whole group means a look at every process of the machine: that is done less often.
_GROUP_SECONDS = 1.0
_DRAIN_SECONDS = 2.0
_READ_BYTES = 64 * 1024


def run_child(
    spec: JobSpec,
    *,
    workdir: Path,
    on_event: Callable[[Event], None],
    should_cancel: Callable[[], bool],
    heartbeat: Callable[[Beat], bool],
    limits: ProcessLimits,
    device_env: Mapping[str, str],
    heartbeat_seconds: float = 5.0,
    first_sequence: int = 0,
    now_ms: Callable[[], int] = boot_ms,
    program: str = "mlops.runtime.child",
) -> Outcome:
    """Run one job to its end and say how it ended; blocks. Segments are numbered from `first_sequence`.

    `heartbeat` is called every `heartbeat_seconds`; False means that the lease is lost: the process is killed at once
    and no further event is sent. `should_cancel` is asked four times a second; True has the process write a checkpoint
    and leave, within `limits.grace_seconds`. `program` is the module
    that is run. Raises ValueError when the output folder is not in `workdir`.
    """
    if not Path(spec.output_dir).resolve().is_relative_to(workdir.resolve()):
        raise ValueError(f"{spec.output_dir} does not lie in the work folder")
    supervision = _Supervision(
        spec=spec,
        workdir=workdir.resolve(),
        on_event=on_event,
        should_cancel=should_cancel,
        heartbeat=heartbeat,
        limits=limits,
        device_env=dict(device_env),
        heartbeat_seconds=heartbeat_seconds,
        sequence=first_sequence,
        now_ms=now_ms,
        program=program,
    )
    return supervision.run()


@dataclass
class _Supervision:
    """One run. `reason` is the Outcome code for which the process was told to stop, once it was."""

    spec: JobSpec
    workdir: Path
    on_event: Callable[[Event], None]
    should_cancel: Callable[[], bool]
    heartbeat: Callable[[Beat], bool]
    limits: ProcessLimits
    device_env: dict[str, str]
    heartbeat_seconds: float
    sequence: int
    now_ms: Callable[[], int]
    program: str

    segments: list[Segment] = field(default_factory=list)
    opened_ms: int = 0
    reason: str | None = None
    message: str = ""
    kill_at: float | None = None
    checkpoint: dict[str, Any] | None = None
    result: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    peak_bytes: int = 0
    reader: EventReader = field(default_factory=EventReader)
    due: dict[str, float] = field(default_factory=dict)

    # -- from start to end ----------------------------------------------------------------------------------------

    def run(self) -> Outcome:
        """Start, watch, reap, tell."""
        self.log = BoundedLog(self.limits.log_bytes)
        self.oom_kills_before = machine_oom_kills()
        self.opened_ms = self.now_ms()
        self._emit("segment_opened", sequence=self.sequence, start_ms=self.opened_ms)
        self.started = time.monotonic()
        process, events, output = self._spawn()
        try:
            identity = ProcessIdentity.of(process.pid)
            self._emit("spawned", **asdict(identity))
            self._watch(process.pid, events, output)
        finally:
            # Before the leader is reaped its group's number cannot be another's.
            signal_own_group(process.pid, signal.SIGKILL)
            try:
                self._drain(events, output)
            finally:
                exit_code = process.wait()
                os.close(events)
                os.close(output)
        return self._conclude(exit_code)

    def _spawn(self) -> tuple[subprocess.Popen[bytes], int, int]:
        """Start the child; returns it and the reading ends of its events and of its output."""
        self.workdir.mkdir(parents=True, exist_ok=True)
        Path(self.spec.output_dir).mkdir(parents=True, exist_ok=True)
        self.spec.write(self.workdir / "spec.json")
        events, events_end = os.pipe()
        output, output_end = os.pipe()
        # Only root can become somebody else, and needs to.
        user = self.limits.user if os.geteuid() == 0 and self.limits.user else None
        control = {"event_fd": events_end, "parent_pid": os.getpid(), "user": user, "limits": asdict(self.limits)}
        (self.workdir / "control.json").write_text(json.dumps(control), encoding="utf-8")
        if user is not None:
            hand_over(self.workdir, user)
        environment = child_environment(
            source_root=str(SOURCE_ROOT), workdir=str(self.workdir), device_env=self.device_env
        )
        try:
            process = subprocess.Popen(
                [sys.executable, "-m", self.program, str(self.workdir)],
                stdin=subprocess.DEVNULL,
                stdout=output_end,
                stderr=output_end,
                cwd=self.workdir,
                env=environment,
                start_new_session=True,
                pass_fds=(events_end,),
            )
        except BaseException:
            os.close(events)
            os.close(output)
            raise
        finally:
            os.close(events_end)
            os.close(output_end)
        os.set_blocking(events, False)
        os.set_blocking(output, False)
        return process, events, output

    def _watch(self, pid: int, events: int, output: int) -> None:
        """Until the process has ended (it is not reaped here)."""
        with selectors.DefaultSelector() as selector:
            selector.register(events, selectors.EVENT_READ, self._take_events)
            selector.register(output, selectors.EVENT_READ, self._take_output)
            while not has_exited(pid):
                # With both pipes closed select() would return at once, again and again.
                if not selector.get_map():
                    time.sleep(_TICK_SECONDS)
                for key, _ in selector.select(_TICK_SECONDS) if selector.get_map() else ():
                    if not self._read(key.fd, key.data):
                        selector.unregister(key.fd)
                self._tick(pid)

    def _tick(self, pid: int) -> None:
        now = time.monotonic()
        if self.kill_at is not None and now >= self.kill_at:
            signal_own_group(pid, signal.SIGKILL)
        if self._is_due("memory", now, _MEMORY_SECONDS):
            whole = self._is_due("group", now, _GROUP_SECONDS)
            self._check_memory(pid, group_resident_bytes(pid) if whole else resident_bytes(pid))
        if self._is_due("heartbeat", now, self.heartbeat_seconds):
            beat = Beat(self.sequence, self.opened_ms, self.now_ms())
            if not self.heartbeat(beat):
                self._stop(pid, "lease_lost", "another worker holds the job", at_once=True)
        if self.reason is None and self._is_due("cancel", now, _CANCEL_SECONDS) and self.should_cancel():
            self._stop(pid, "canceled", "stopped as asked")
        wall = self.limits.wall_seconds
        if self.reason is None and wall is not None and now - self.started > wall:
            self._stop(pid, "time_limit", f"ran longer than {wall:g} seconds")
        if self.reason == "protocol_invalid" and self.kill_at is None:
            self._stop(pid, "protocol_invalid", self.message, at_once=True)

    def _is_due(self, what: str, now: float, every: float) -> bool:
        if now < self.due.get(what, 0.0):
            return False
        self.due[what] = now + every
        return True

    def _check_memory(self, pid: int, used: int) -> None:
        self.peak_bytes = max(self.peak_bytes, used)
        allowed = self.limits.memory_bytes
        if allowed is not None and used > allowed and self.reason != "out_of_memory":
            self._stop(pid, "out_of_memory", f"used {used:,} bytes of memory; {allowed:,} are allowed", at_once=True)

    def _stop(self, pid: int, reason: str, message: str, *, at_once: bool = False) -> None:
        """Tell the group to stop; a run that is being killed keeps the first such reason."""
        self.reason, self.message = reason, message
        self._emit("stopping", reason=reason, at_once=at_once)
        signal_own_group(pid, signal.SIGKILL if at_once else signal.SIGTERM)
        self.kill_at = time.monotonic() + (0 if at_once else self.limits.grace_seconds)

    # -- what the child says --------------------------------------------------------------------------------------

    def _read(self, descriptor: int, take: Callable[[bytes], None]) -> bool:
        """Read what is there; False at the end of the pipe."""
        try:
            block = os.read(descriptor, _READ_BYTES)
        except BlockingIOError:
            return True
        if block:
            take(block)
        return bool(block)

    def _drain(self, events: int, output: int) -> None:
        """What the ended process had still written."""
        deadline = time.monotonic() + _DRAIN_SECONDS
        for descriptor, take in ((events, self._take_events), (output, self._take_output)):
            while time.monotonic() < deadline and self._has_data(descriptor):
                if not self._read(descriptor, take):
                    break

    @staticmethod
    def _has_data(descriptor: int) -> bool:
        with selectors.DefaultSelector() as selector:
            selector.register(descriptor, selectors.EVENT_READ)
            return bool(selector.select(0.1))

    def _take_output(self, block: bytes) -> None:
        shown = self.log.add(block)
        if shown:
            self._emit("log", text=shown.decode("utf-8", errors="replace").replace("\0", ""))

    def _take_events(self, block: bytes) -> None:
        try:
            for kind, data in self.reader.feed(block):
                self._take_event(kind, data)
        except ProtocolInvalid as wrong:
            self.reason, self.message = "protocol_invalid", str(wrong)

    def _take_event(self, kind: str, data: dict[str, Any]) -> None:
        if kind == "checkpoint":
            self._check_inside(data.get("path"))
            self.checkpoint = data
            self._close_segment("billable", checkpoint=data)
            self._open_segment()
            return
        if kind == "result":
            self.result = data
        elif kind == "error":
            if data.get("code") not in OUTCOME_CODES:
                raise ProtocolInvalid(f"unknown error code {data.get('code')!r}")
            self.error = data
        self._emit(kind, **data)

    def _check_inside(self, path: object) -> None:
        """A path the caller will open must lie in the work folder."""
        if not isinstance(path, str) or not Path(path).resolve().is_relative_to(self.workdir):
            raise ProtocolInvalid(f"a checkpoint outside the work folder: {path!r}")

    # -- time -----------------------------------------------------------------------------------------------------

    def _close_segment(self, hint: Disposition, checkpoint: dict[str, Any] | None = None) -> None:
        segment = Segment(self.sequence, self.opened_ms, max(self.opened_ms, self.now_ms()), hint)
        self.segments.append(segment)
        self.sequence, self.opened_ms = segment.sequence + 1, segment.end_ms
        self._emit("segment", **asdict(segment), checkpoint=checkpoint)

    def _open_segment(self) -> None:
        self._emit("segment_opened", sequence=self.sequence, start_ms=self.opened_ms)

    # -- the end --------------------------------------------------------------------------------------------------

    def _conclude(self, exit_code: int) -> Outcome:
        state, code, message = self._verdict(exit_code)
        # Told to stop, it did not leave in order: its last stretch is behind no checkpoint.
        is_torn = code in ("canceled", "time_limit") and exit_code != 0
        self._close_segment("lost" if is_torn else TAIL_DISPOSITION[code])
        self._emit("ended", state=state, code=code, message=message)
        return Outcome(
            state=state,
            code=code,
            message=message,
            result=self.result if state == "succeeded" else None,
            checkpoint=self.checkpoint,
            segments=tuple(self.segments),
            exit_code=exit_code,
            peak_memory_bytes=self.peak_bytes,
            log=self.log.text(),
        )

    def _verdict(self, exit_code: int) -> tuple[State, str, str]:
        """State, code and message. A run that finished while it was told to stop has finished."""
        if exit_code == 0 and self.result is not None and self.reason in (None, "canceled", "time_limit"):
            return "succeeded", "ok", "finished"
        if self.reason == "canceled":
            return "canceled", "canceled", self.message
        if self.reason is not None:
            return "failed", self.reason, self.message
        if self.error is not None:
            return "failed", self.error["code"], str(self.error.get("message", ""))
        if exit_code == -signal.SIGXCPU:
            return "failed", "cpu_limit", f"used more than {self.limits.cpu_seconds} seconds of processor time"
        if exit_code == -signal.SIGKILL and self._machine_ran_out():
            return "failed", "out_of_memory", "the machine ran out of memory"
        how = f"signal {-exit_code}" if exit_code < 0 else f"exit code {exit_code}"
        return "failed", "crashed", f"the process ended with {how} and reported nothing"

    def _machine_ran_out(self) -> bool:
        after = machine_oom_kills()
        return after is not None and self.oom_kills_before is not None and after > self.oom_kills_before

    def _emit(self, kind: str, **data: Any) -> None:
        if self.reason == "lease_lost":
            return
        self.on_event(Event(kind, data, self.now_ms()))
