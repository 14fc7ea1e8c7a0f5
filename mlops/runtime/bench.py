"""How much of the bare loop's speed a job keeps: `python -m mlops.runtime.bench` prints the ratio as JSON (torch).

The same training in the same kind of process: once in a bare loop, once as a supervised job with events, checkpoints
and limits. Turns alternate, so that a busy machine slows both alike; the ratio is of the medians.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from mlops.datasets import load_builtin
from mlops.recipes import load_recipe
from mlops.runtime.isolation import child_environment
from mlops.runtime.spec import JobSpec, ProcessLimits
from mlops.runtime.supervisor import SOURCE_ROOT, run_child


def bare_loop(spec_path: Path) -> float:
    """Examples a second of the plain loop: open the run, step until done, nothing else."""
    import torch  # only the measured process needs it

    from mlops.runtime.work import open_run, read_dataset

    spec = JobSpec.read(spec_path)
    torch.set_num_threads(spec.threads or len(os.sched_getaffinity(0)))
    torch.use_deterministic_algorithms(True, warn_only=True)
    run = open_run(spec, load_recipe(spec.recipe), read_dataset(spec.dataset))
    started = time.monotonic()
    while not run.done:
        run.advance()
    return run.examples_an_epoch * run.epoch / (time.monotonic() - started)


def measure(*, params: dict[str, Any], turns: int, threads: int = 0, device: str = "cpu") -> dict[str, Any]:
    """Medians in examples a second, and their ratio (1.0: the job is as fast as the bare loop)."""
    bare, job = [], []
    with tempfile.TemporaryDirectory() as folder:
        workdir = Path(folder)
        dataset = workdir / "dataset.npz"
        dataset.write_bytes(load_builtin("mnist-5k").canonical_bytes)
        full = load_recipe("image-cnn").resolve_params(params)
        spec = JobSpec(
            "train", "image-cnn", full, str(dataset), str(workdir / "job" / "out"), device=device, threads=threads
        )
        spec.write(workdir / "bare.json")
        for _ in range(turns):
            bare.append(_bare_turn(workdir, device))
            job.append(_job_turn(spec, workdir, device))
    ratio = statistics.median(job) / statistics.median(bare)
    return {"bare": statistics.median(bare), "job": statistics.median(job), "ratio": ratio, "turns": turns}


def _device_env(device: str) -> dict[str, str]:
    return {"CUDA_VISIBLE_DEVICES": device.partition(":")[2] or "0"} if device.startswith("cuda") else {}


def _bare_turn(workdir: Path, device: str) -> float:
    environment = child_environment(source_root=str(SOURCE_ROOT), workdir=str(workdir), device_env=_device_env(device))
    command = [sys.executable, "-m", "mlops.runtime.bench", "--bare", str(workdir / "bare.json")]
    done = subprocess.run(command, env=environment, cwd=workdir, check=True, capture_output=True, text=True)
    return float(done.stdout)


def _job_turn(spec: JobSpec, workdir: Path, device: str) -> float:
    outcome = run_child(
        spec,
        workdir=workdir / "job",
        on_event=lambda event: None,
        should_cancel=lambda: False,
        heartbeat=lambda beat: True,
        limits=ProcessLimits(memory_bytes=8 * 1024**3, wall_seconds=600),
        device_env=_device_env(device),
    )
    if outcome.result is None:
        raise RuntimeError(f"the measured job ended with {outcome.code}: {outcome.message}")
    return outcome.result["examples_per_second"]


def main() -> None:
    """Command line of the bench."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bare", type=Path, help="run the bare loop of this spec and print examples a second")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--threads", type=int, default=0, help="0: every core; 1 is steadier on a busy machine")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--params", type=json.loads, default={"form": "deep", "epochs": 2})
    options = parser.parse_args()
    if options.bare is not None:
        sys.stdout.write(f"{bare_loop(options.bare)}\n")
        return
    found = measure(params=options.params, turns=options.turns, threads=options.threads, device=options.device)
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
