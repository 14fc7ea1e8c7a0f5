"""Where a run stood: one safetensors file a checkpoint, its scalars as JSON inside; no pickle (torch)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor

from mlops.runtime.weights import WeightsInvalid, read_tensors, write_tensors

# The caller copies a checkpoint while the run goes on; two later ones are written before it is removed here.
_KEPT = 3


class Resumable(Protocol):
    """What a recipe's run offers so that it can be stopped and gone on with."""

    @property
    def step(self) -> int:
        """Optimiser steps taken."""

    @property
    def epoch(self) -> int:
        """Epochs finished."""

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Everything the rest of the run depends on."""

    def restore(self, tensors: Mapping[str, Tensor], scalars: Mapping[str, Any]) -> None:
        """Go on from `state()`."""


class CheckpointInvalid(Exception):
    """Damaged, or of another recipe, other parameters or other data."""


def save_checkpoint(folder: Path, run: Resumable, identity: Mapping[str, Any]) -> Path:
    """Write the run's state; the file appears whole or not at all. `identity` must be met again on resuming."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors, scalars = run.state()
    path = folder / f"step-{run.step:09d}.safetensors"
    write_tensors(path, tensors, {"kind": "checkpoint", "identity": dict(identity), "scalars": scalars})
    for old in sorted(folder.glob("step-*.safetensors"))[:-_KEPT]:
        old.unlink()
    return path


def load_checkpoint(path: Path, run: Resumable, identity: Mapping[str, Any]) -> None:
    """Bring `run` to where the checkpoint was written. Raises CheckpointInvalid."""
    try:
        tensors, notes = read_tensors(path)
    except WeightsInvalid as broken:
        raise CheckpointInvalid(str(broken)) from broken
    if notes.get("kind") != "checkpoint":
        raise CheckpointInvalid("the file is no checkpoint")
    if notes.get("identity") != dict(identity):
        raise CheckpointInvalid("the checkpoint is of another recipe, other parameters or other data")
    try:
        run.restore(tensors, notes["scalars"])
    except (KeyError, TypeError, ValueError, RuntimeError) as wrong:
        raise CheckpointInvalid(f"the checkpoint does not fit this run: {wrong}") from wrong
