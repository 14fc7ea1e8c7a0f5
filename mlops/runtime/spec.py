"""What a job's process is told, and what its supervisor reports: the contract between the two halves. No torch."""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

Kind = Literal["train", "evaluate", "batch_predict"]
State = Literal["succeeded", "failed", "canceled"]
Disposition = Literal["billable", "lost"]

KINDS: tuple[str, ...] = ("train", "evaluate", "batch_predict")

# Every code an Outcome can carry, with what a person should make of it.
OUTCOME_CODES: dict[str, str] = {
    "ok": "finished",
    "canceled": "stopped as asked",
    "checkpoint_invalid": "the checkpoint to resume from is damaged or of another run",
    "cpu_limit": "used more processor time than allowed",
    "crashed": "the process died of itself",
    "data_unsuitable": "the data set does not meet the recipe's contract",
    "dataset_invalid": "the stored data set cannot be read",
    "device_unavailable": "the device is not there or does not answer",
    "disk_full": "no room left to write",
    "lease_lost": "another worker holds the job now; nothing of this run may be kept",
    "out_of_memory": "needed more memory than allowed",
    "params_invalid": "the recipe refuses the parameters",
    "protocol_invalid": "the process reported something unreadable",
    "recipe_failed": "the recipe's code raised an error",
    "recipe_unknown": "the recipe is not installed on this machine",
    "spec_invalid": "the job's description cannot be read",
    "time_limit": "ran longer than allowed",
    "training_diverged": "the loss left the numbers",
    "weights_invalid": "the weights are not those of this recipe, or no safetensors file",
}

# Whose time the last stretch of a run was: what the tenant asked for is theirs, a failure is the platform's.
TAIL_DISPOSITION: dict[str, Disposition] = {
    code: "billable" if code in ("ok", "canceled", "time_limit") else "lost" for code in OUTCOME_CODES
}


@dataclass(frozen=True)
class JobSpec:
    """One run of one job. Paths are absolute; `output_dir` lies in the work folder and is the only place written to.

    `dataset`: canonical arrays of mlops.datasets. `resume`: a checkpoint's file. `weights`: a safetensors file, needed
    by evaluate and batch_predict; for train it is where the net starts from. `threads`: 0 takes every core permitted.
    """

    kind: Kind
    recipe: str
    params: dict[str, Any]
    dataset: str
    output_dir: str
    resume: str | None = None
    weights: str | None = None
    device: str = "cpu"
    threads: int = 0
    checkpoint_seconds: float = 30.0
    provenance: dict[str, str] = field(default_factory=dict)

    def write(self, path: Path) -> None:
        """Put the spec where the child looks for it."""
        path.write_text(json.dumps(asdict(self), sort_keys=True), encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> JobSpec:
        """Raises ValueError (also for JSON that is no spec) or TypeError."""
        spec = cls(**json.loads(path.read_text(encoding="utf-8")))
        if spec.kind not in KINDS:
            raise ValueError(f"kind {spec.kind!r} is not one of {', '.join(KINDS)}")
        return spec


@dataclass(frozen=True)
class ProcessLimits:
    """Bounds of the job's process. None means no bound of that kind.

    `memory_bytes` is resident memory of the whole process group, watched by the supervisor; it also sets RLIMIT_DATA
    where the device is the CPU (CUDA maps far more than it uses). `grace_seconds` is how long a run that is told to
    stop may take to write its checkpoint. `nproc` counts all of the user's processes: only for a user of its own. `user` is
    who the process becomes where its supervisor is root; 0 leaves it root.
    """

    memory_bytes: int | None = None
    cpu_seconds: int | None = None
    wall_seconds: float | None = None
    nofile: int = 1024
    nproc: int | None = None
    file_bytes: int | None = 16 * 1024**3
    log_bytes: int = 256 * 1024
    grace_seconds: float = 20.0
    user: int = 65534


@dataclass(frozen=True)
class Event:
    """What happened, for the job's log. `kind` is one of EVENT_KINDS; `data` is JSON."""

    kind: str
    data: dict[str, Any]
    at_ms: int


# From the supervisor: spawned, segment_opened, segment, stopping, ended. From the child: the rest.
EVENT_KINDS = (
    "spawned", "segment_opened", "segment", "stopping", "ended",
    "started", "progress", "metric", "checkpoint", "log", "result", "error", "canceled",
)  # fmt: skip


@dataclass(frozen=True)
class Segment:
    """An interval of the device, in boot-clock milliseconds; the end of one is the start of the next."""

    sequence: int
    start_ms: int
    end_ms: int
    disposition_hint: Disposition

    @property
    def duration_ms(self) -> int:
        """Never negative."""
        return self.end_ms - self.start_ms


@dataclass(frozen=True)
class Beat:
    """What the supervisor tells its heartbeat: the open segment, so that a dead supervisor's time can be closed."""

    sequence: int
    start_ms: int
    now_ms: int


@dataclass(frozen=True)
class Outcome:
    """How a run ended. `result` is set when it succeeded, `checkpoint` when one can be resumed from."""

    state: State
    code: str
    message: str
    result: dict[str, Any] | None
    checkpoint: dict[str, Any] | None
    segments: tuple[Segment, ...]
    exit_code: int | None
    peak_memory_bytes: int
    log: str

    @property
    def device_ms(self) -> int:
        """Milliseconds the device was held, billable or not."""
        return sum(segment.duration_ms for segment in self.segments)

    @property
    def billable_ms(self) -> int:
        """The part of `device_ms` that the tenant asked for and got."""
        return sum(segment.duration_ms for segment in self.segments if segment.disposition_hint == "billable")


def boot_ms() -> int:
    """Milliseconds since the machine started, sleep included: the clock all device time is measured on."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000


def boot_id() -> str:
    """Which start of the machine `boot_ms` counts from."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def fsync_folder(folder: Path) -> None:
    """Make renames in `folder` survive a power cut."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
