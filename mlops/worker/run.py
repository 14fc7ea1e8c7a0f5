"""One run of one job: its process is started and watched, and what happens is written down under the job's epoch."""

import hashlib
import logging
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO, TypeVar, cast

from django.conf import settings
from django.db import InterfaceError, OperationalError, connection, transaction

from millrace.kernel import storage
from millrace.kernel.tenancy import tenant_scope
from mlops import policy, selectors
from mlops.errors import LeaseLost
from mlops.models import Job, JobKind
from mlops.runtime.spec import Beat, Event, JobSpec, Kind, Outcome, ProcessLimits
from mlops.runtime.supervisor import SOURCE_ROOT, run_child
from mlops.services.events import events_append
from mlops.services.leases import job_heartbeat, job_held, job_stop_asked
from mlops.services.outcomes import Artifact, Ending, job_finish
from mlops.services.segments import job_checkpoint_record, job_segment_open, job_segment_record
from mlops.worker.discovery import FoundDevice

logger = logging.getLogger(__name__)
Answer = TypeVar("Answer")
_DATABASE_GONE = (OperationalError, InterfaceError)
_LOOK_SECONDS = 1.0
_WRITE_SECONDS = 0.5
_PROGRESS_LINES = 500
# Stopping takes a moment: the run is told to stop this much before its limit.
_STOP_SPARE_MS = 1_000
_TOLD = frozenset({"spawned", "started", "stopping", "metric", "log", "error"})


class JobRun:
    """Supervises a claimed job to its end, in the calling thread."""

    def __init__(self, *, job: Job, device: FoundDevice, folder: Path, stop: threading.Event, threads: int = 0) -> None:
        self.job = job
        self.device = device
        self.folder = folder
        self._stop = stop
        self._threads = threads
        self._handed_back = False
        self._cancel = False
        self._lines: list[tuple[str, dict[str, Any]]] = []
        self._progress: dict[str, Any] | None = None
        self._is_progress_new = False
        self._began = time.monotonic()
        self._written = self._looked = self._progress_told = 0.0
        self._lease_ends = time.monotonic() + policy.lease().total_seconds()

    def supervise(self) -> Job | None:
        """Run the job and write down how it ended; None where the lease was lost and nothing may be written."""
        with tenant_scope(self.job.tenant_id):
            try:
                outcome = run_child(
                    self._spec(),
                    workdir=self.folder,
                    on_event=self._on_event,
                    should_cancel=self._should_stop,
                    heartbeat=self._heartbeat,
                    limits=self._limits(),
                    device_env=self.device.environment,
                    heartbeat_seconds=policy.heartbeat_seconds(),
                )
                self._write_lines(last=True)
                return self._finish(outcome)
            except LeaseLost as lost:
                logger.warning("lost the lease of %s: %s", self.job.public_id, lost)
                return None

    # -- what the process is told -------------------------------------------------------------------------------------

    def _spec(self) -> JobSpec:
        job, version = self.job, self.job.model_version
        self.folder.mkdir(parents=True, exist_ok=True)
        return JobSpec(
            kind=cast(Kind, job.kind),
            recipe=job.recipe,
            params=job.params,
            dataset=str(storage.local_path(job.dataset_version.storage_key)),
            output_dir=str(self.folder / "out"),
            resume=self._last_checkpoint(),
            weights=str(storage.local_path(version.weights_key)) if version else None,
            device=self.device.torch_device,
            threads=self._threads,
            checkpoint_seconds=policy.checkpoint_seconds(),
            provenance={"dataset_hash": job.dataset_version.content_hash, "code_version": code_version()},
        )

    def _last_checkpoint(self) -> str | None:
        last = selectors.checkpoints(self.job.tenant_id, self.job.pk).first()
        return str(storage.local_path(last.storage_key)) if last else None

    def _limits(self) -> ProcessLimits:
        left_ms = max(policy.SHORTEST_JOB_MS // 2, self.job.limit_ms - self.job.billed_ms - _STOP_SPARE_MS)
        return ProcessLimits(
            memory_bytes=policy.job_memory_bytes(), wall_seconds=left_ms / 1000, user=settings.JOB_USER
        )

    # -- what the supervisor tells -----------------------------------------------------------------------------------

    def _on_event(self, event: Event) -> None:
        if event.kind == "segment_opened":
            self._persist(
                lambda: job_segment_open(**self._held, sequence=event.data["sequence"], start_ms=event.data["start_ms"])
            )
        elif event.kind == "segment":
            self._segment(event.data)
        elif event.kind == "progress":
            self._progress, self._is_progress_new = event.data, True
        elif event.kind in _TOLD:
            for weakness in event.data.pop("weaknesses", ()):
                warn_once(weakness)
            self._lines.append((event.kind, event.data))

    def _segment(self, data: dict[str, Any]) -> None:
        closed = {"sequence": data["sequence"], "end_ms": data["end_ms"]}
        checkpoint = data["checkpoint"]
        if checkpoint is None:
            self._persist(lambda: job_segment_record(**self._held, **closed))
            return
        kept = keep_file(self.folder, checkpoint["path"], ".safetensors")
        self._persist(
            lambda: job_checkpoint_record(
                **self._held, **closed, step=checkpoint["step"], storage_key=kept.storage_key, size=kept.size
            )
        )
        self._lines.append(("checkpoint", {"step": checkpoint["step"], "bytes": kept.size}))
        self._write_lines()

    def _heartbeat(self, beat: Beat) -> bool:
        try:
            job_heartbeat(**self._held, sequence=beat.sequence, now_ms=beat.now_ms, progress=self._progress)
        except LeaseLost:
            return False
        except _DATABASE_GONE as gone:
            logger.warning("no heartbeat for %s: %s", self.job.public_id, gone)
            connection.close()
            return time.monotonic() < self._lease_ends
        self._lease_ends = time.monotonic() + policy.lease().total_seconds()
        return True

    def _should_stop(self) -> bool:
        now = time.monotonic()
        if self._stop.is_set():
            self._handed_back = True
            return True
        if now - self._written >= _WRITE_SECONDS:
            self._write_lines()
        if now - self._looked >= _LOOK_SECONDS:
            self._looked = now
            try:
                self._cancel = job_stop_asked(**self._held)
            except _DATABASE_GONE:
                connection.close()
        return self._cancel

    # -- the end ------------------------------------------------------------------------------------------------------

    def _finish(self, outcome: Outcome) -> Job:
        card = ""
        artifacts: dict[str, Artifact] = {}
        result = dict(outcome.result or {})
        if outcome.state == "succeeded":
            result["code_version"] = code_version()
            out = self.folder / "out"
            if self.job.kind == JobKind.TRAIN:
                artifacts["weights"] = keep_file(out, result["weights"], ".safetensors")
                with open_output(out, result["card"]) as file:
                    card = file.read().decode()
            if self.job.kind == JobKind.BATCH_PREDICT:
                artifacts["predictions"] = keep_file(out, result["predictions"], ".jsonl")
        ending = Ending(
            succeeded=outcome.state == "succeeded",
            code=outcome.code,
            message=outcome.message,
            result=result or None,
            artifacts=artifacts,
            card=card,
            tail_billable=bool(outcome.segments) and outcome.segments[-1].disposition_hint == "billable",
            handed_back=self._handed_back,
        )
        return self._persist(lambda: job_finish(**self._held, ending=ending))

    # -- writing ------------------------------------------------------------------------------------------------------

    @property
    def _held(self) -> dict[str, Any]:
        return {"job_id": self.job.pk, "epoch": self.job.epoch}

    def _write_lines(self, *, last: bool = False) -> None:
        """Append what has gathered to the job's story; a stale epoch appends nothing."""
        now = self._written = time.monotonic()
        # Where a run stands is told at ever longer intervals: the story of a week is no hundred times that of an hour.
        every = max(_WRITE_SECONDS, (now - self._began) / _PROGRESS_LINES)
        if self._progress and self._is_progress_new and (last or now - self._progress_told >= every):
            self._lines.append(("progress", self._progress))
            self._is_progress_new, self._progress_told = False, now
        lines, self._lines = self._lines, []
        if lines:
            self._persist(lambda: _append(self._held, lines))

    def _persist(self, write: Callable[[], Answer]) -> Answer:
        """Write, again and again while the database is away and the lease may still hold."""
        while True:
            try:
                return write()
            except _DATABASE_GONE as gone:
                connection.close()
                if time.monotonic() >= self._lease_ends:
                    raise LeaseLost(f"the database was away for a whole lease: {gone}") from gone
                logger.warning("the database is away: %s", gone)
                time.sleep(0.5)


@cache
def warn_once(weakness: str) -> None:
    """Tell the operator what this machine cannot hold a job by; the job's own events say it for each run."""
    logger.warning("a job's walls are weaker than they could be: %s", weakness)


def _append(held: dict[str, Any], lines: list[tuple[str, dict[str, Any]]]) -> None:
    with transaction.atomic():
        events_append(job_held(held["job_id"], held["epoch"]), lines)


@contextmanager
def open_output(folder: Path, path: str) -> Iterator[BinaryIO]:
    """Open a file that a run names, in its own folder. Raises ValueError for one that lies elsewhere.

    The supervisor may read more than its job, and must not do so on the job's word. The opened file itself is asked where
    it lies: a job that puts a link in its place afterwards changes nothing.
    """
    with (folder / path).open("rb") as file:
        if not Path(f"/proc/self/fd/{file.fileno()}").readlink().is_relative_to(folder.resolve()):
            raise ValueError(f"{path!r} does not lie in the job's folder")
        yield file


def keep_file(folder: Path, path: str, suffix: str) -> Artifact:
    """Put a file of a run into the store under the hash of its content."""
    digest = hashlib.sha256()
    with open_output(folder, path) as file:
        while block := file.read(1024 * 1024):
            digest.update(block)
        size = file.tell()
        name = digest.hexdigest()
        key = f"sha256/{name[:2]}/{name[2:4]}/{name}{suffix}"
        file.seek(0)
        storage.keep(key, file)
    return Artifact(key, name, size)


@cache
def code_version() -> str:
    """What trained: a hash of the recipes' and the runtime's source, true for an edited checkout too."""
    digest = hashlib.sha256()
    for folder in ("mlops/recipes", "mlops/runtime", "mlops/datasets"):
        for path in sorted((SOURCE_ROOT / folder).rglob("*")):
            if path.suffix in {".py", ".json"}:
                digest.update(path.relative_to(SOURCE_ROOT).as_posix().encode() + b"\0" + path.read_bytes())
    return f"sha256:{digest.hexdigest()[:16]}"


def clear(folder: Path) -> None:
    """Remove what a run left; a process that is still writing there is another's and keeps its own files."""
    shutil.rmtree(folder, ignore_errors=True)
