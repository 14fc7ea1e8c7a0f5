"""The job's process: `python -m mlops.runtime.child <workdir>`. Gives up network and privileges, then imports torch."""

from __future__ import annotations

import errno
import importlib
import json
import os
import signal
import sys
import traceback
from dataclasses import asdict
from pathlib import Path
from types import FrameType

from mlops.runtime import isolation
from mlops.runtime.channel import EventWriter
from mlops.runtime.spec import JobSpec, ProcessLimits

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class StopRequest:
    """Set by SIGTERM: the work ends at its next safe point."""

    def __init__(self) -> None:
        self.wanted = False
        signal.signal(signal.SIGTERM, self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.wanted = True

    def __call__(self) -> bool:
        return self.wanted


class SpecInvalid(Exception):
    """spec.json cannot be read; the supervisor has been told."""


def enter(workdir: Path) -> tuple[JobSpec, EventWriter, StopRequest]:
    """Give up what a job must not have, and say so; what runs after this may be large. Raises SpecInvalid."""
    stop = StopRequest()
    control = json.loads((workdir / "control.json").read_text(encoding="utf-8"))
    isolation.die_with_parent(control["parent_pid"])
    isolation.refuse_new_privileges()
    events = EventWriter(control["event_fd"])
    try:
        spec = JobSpec.read(workdir / "spec.json")
    except (ValueError, TypeError, OSError) as wrong:
        events.send("error", code="spec_invalid", message=str(wrong))
        raise SpecInvalid(str(wrong)) from wrong
    given = [path for path in (spec.dataset, spec.resume, spec.weights) if path]
    walls = isolation.raise_walls(workdir=str(workdir), readable=given, user=control["user"], device=spec.device)
    isolation.die_with_parent(control["parent_pid"])  # the kernel forgets it with a change of user
    isolation.apply_limits(ProcessLimits(**control["limits"]), device=spec.device)
    events.send("started", pid=os.getpid(), device=spec.device, weaknesses=walls.weaknesses, **asdict(walls))
    return spec, events, stop


def main(workdir: Path) -> int:
    """Run the job that spec.json in `workdir` describes; 0 when it has a result or stopped as asked."""
    try:
        spec, events, stop = enter(workdir)
    except SpecInvalid:
        return 1
    return _work(spec, events, stop)


def _work(spec: JobSpec, events: EventWriter, stop: StopRequest) -> int:
    """Every failure leaves as a coded event; the traceback goes to the job's log."""
    work = importlib.import_module("mlops.runtime.work")  # torch comes in here, after the limits
    try:
        result = work.run_job(spec, events, stop)
    except work.Stopped:
        events.send("canceled")
        return 0
    except work.JobFailure as failure:
        events.send("error", code=failure.code, message=str(failure))
        return 1
    except MemoryError:
        events.send("error", code="out_of_memory", message="an allocation was refused")
        return 1
    except OSError as wrong:
        traceback.print_exc()
        code = "disk_full" if wrong.errno in _FULL else "recipe_failed"
        events.send("error", code=code, message=str(wrong))
        return 1
    except Exception as wrong:  # noqa: BLE001 - the last door of the process: nothing may leave it uncoded
        traceback.print_exc()
        events.send("error", code=work.code_of(wrong), message=f"{type(wrong).__name__}: {wrong}")
        return 1
    events.send("result", **result)
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).resolve()))
