"""What a job's process does: train, evaluate, predict a batch (torch). Knows no supervisor but its reporter."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from mlops.datasets.canonical import CanonicalInvalid
from mlops.datasets.parsed import ParsedDataset
from mlops.recipes import DataShape, Recipe, RecipeProblem, load_recipe
from mlops.recipes.supervised import EpochReport, SupervisedRun, TrainingData, TrainingDiverged, predict_logits
from mlops.runtime.checkpoints import CheckpointInvalid, load_checkpoint, save_checkpoint
from mlops.runtime.metrics import classification_metrics
from mlops.runtime.spec import JobSpec
from mlops.runtime.weights import WeightsInfo, WeightsInvalid, fit_weights, load_model, read_tensors, save_weights

_PROGRESS_SECONDS = 0.25
# How the processor's allocator, CUDA outside of torch's own, and CUDA's libraries say that memory ran out.
_MEMORY_SIGNS = ("can't allocate memory", "CUDA error: out of memory", "_STATUS_ALLOC_FAILED")
# A check in a kernel that the recipe's own numbers failed.
_ASSERTION = "device-side assert"


class Reporter(Protocol):
    """Takes events; see mlops.runtime.channel for the kinds."""

    def send(self, kind: str, **data: Any) -> None:
        """Report one event."""


class Stopped(Exception):
    """The work ended at a safe point because it was asked to."""


class JobFailure(Exception):
    """The job cannot be done; `code` is one of spec.OUTCOME_CODES."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def code_of(error: Exception) -> str:
    """The outcome code of an exception that the work let through. What the card does of itself is not the job's fault."""
    text = str(error)
    if isinstance(error, RuntimeError) and any(sign in text for sign in _MEMORY_SIGNS):
        return "out_of_memory"
    if isinstance(error, torch.OutOfMemoryError):
        return "out_of_memory"
    if isinstance(error, torch.AcceleratorError) and _ASSERTION not in text:
        return "device_unavailable"
    return "recipe_failed"


def run_job(spec: JobSpec, reporter: Reporter, stop: Callable[[], bool]) -> dict[str, Any]:
    """Do the job and return its result (JSON). Raises Stopped or JobFailure; other errors are the recipe's."""
    torch.set_num_threads(spec.threads or len(os.sched_getaffinity(0)))
    torch.use_deterministic_algorithms(True, warn_only=True)
    kinds = {"train": train, "evaluate": evaluate, "batch_predict": batch_predict}
    try:
        return kinds[spec.kind](spec, reporter, stop)
    except RecipeProblem as refused:
        code = refused.code if refused.code != "preset_unknown" else "params_invalid"
        raise JobFailure(code, refused.detail) from refused
    except (CanonicalInvalid, FileNotFoundError) as broken:
        raise JobFailure("dataset_invalid", str(broken)) from broken
    except WeightsInvalid as refused:
        raise JobFailure("weights_invalid", str(refused)) from refused
    except CheckpointInvalid as refused:
        raise JobFailure("checkpoint_invalid", str(refused)) from refused
    except TrainingDiverged as diverged:
        raise JobFailure("training_diverged", str(diverged)) from diverged


def open_device(name: str) -> torch.device:
    """The torch device of that name. Raises JobFailure `device_unavailable`."""
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as refused:
        raise JobFailure("device_unavailable", f"{name}: {str(refused).splitlines()[0]}") from refused
    return device


def read_dataset(path: str) -> ParsedDataset:
    """The stored data set. Raises CanonicalInvalid or FileNotFoundError."""
    with Path(path).open("rb") as file:
        return ParsedDataset.from_canonical(file)


def training_data(dataset: ParsedDataset) -> TrainingData:
    """The data set as tensors, the held-out fifth apart."""
    kept = ~dataset.held_out
    return TrainingData(
        shape=dataset.shape,
        train_inputs=torch.from_numpy(dataset.inputs[kept]),
        train_labels=torch.from_numpy(dataset.labels[kept]),
        held_out_inputs=torch.from_numpy(dataset.inputs[dataset.held_out]),
        held_out_labels=torch.from_numpy(dataset.labels[dataset.held_out]),
    )


def probabilities(module: torch.nn.Module, inputs: np.ndarray, device: torch.device) -> np.ndarray:
    """Class probabilities (n, classes), float32."""
    logits = predict_logits(module, torch.from_numpy(np.ascontiguousarray(inputs)), device)
    return torch.softmax(logits, dim=1).numpy()


# -- train -----------------------------------------------------------------------------------------------------------


def train(spec: JobSpec, reporter: Reporter, stop: Callable[[], bool]) -> dict[str, Any]:
    """Train to the end, with checkpoints; leaves weights and a model card in the output folder."""
    recipe = load_recipe(spec.recipe)
    recipe.check_params(spec.params)
    dataset = read_dataset(spec.dataset)
    recipe.check_data(dataset.shape)
    run = open_run(spec, recipe, dataset)
    started = time.monotonic()
    first_step = run.step
    _drive(spec, recipe, run, dataset, reporter, stop)
    seconds = time.monotonic() - started
    return _keep_model(spec, recipe, run, dataset, seconds, run.step - first_step)


def open_run(spec: JobSpec, recipe: Recipe, dataset: ParsedDataset) -> SupervisedRun:
    """The run at its first step, at the weights to start from, or where its checkpoint left it."""
    run = recipe.training().open_run(spec.params, training_data(dataset), open_device(spec.device))
    if spec.resume is not None:
        load_checkpoint(Path(spec.resume), run, _identity(spec, recipe, dataset))
    elif spec.weights is not None:
        tensors, _ = read_tensors(Path(spec.weights))
        fit_weights(run.module, tensors)
    return run


def _identity(spec: JobSpec, recipe: Recipe, dataset: ParsedDataset) -> dict[str, Any]:
    """What must be the same when a run is gone on with."""
    return {
        "recipe": recipe.name,
        "recipe_version": recipe.version,
        "params": spec.params,
        "shape": dataset.shape.as_json(),
        "dataset_hash": spec.provenance.get("dataset_hash", ""),
    }


def _drive(
    spec: JobSpec,
    recipe: Recipe,
    run: SupervisedRun,
    dataset: ParsedDataset,
    reporter: Reporter,
    stop: Callable[[], bool],
) -> None:
    """Step until done, telling how far it is and saving where it stands."""
    folder = Path(spec.output_dir) / "checkpoints"
    identity = _identity(spec, recipe, dataset)
    told = saved = time.monotonic()
    while not run.done:
        report = run.advance()
        now = time.monotonic()
        if report is not None:
            _tell_epoch(reporter, report, run.step)
        if report is not None or now - told >= _PROGRESS_SECONDS:
            told = now
            fraction = run.step / run.total_steps
            reporter.send("progress", step=run.step, total=run.total_steps, epoch=run.epoch, fraction=fraction)
        must_stop = stop() and not run.done
        if must_stop or (now - saved >= spec.checkpoint_seconds and not run.done):
            path = save_checkpoint(folder, run, identity)
            saved = time.monotonic()
            reporter.send("checkpoint", path=str(path), step=run.step, epoch=run.epoch, bytes=path.stat().st_size)
        if must_stop:
            raise Stopped


def _tell_epoch(reporter: Reporter, report: EpochReport, step: int) -> None:
    for name, value in report.as_json().items():
        if name != "epoch" and value is not None:
            reporter.send("metric", name=name, value=value, step=step, epoch=report.epoch)


def _keep_model(
    spec: JobSpec, recipe: Recipe, run: SupervisedRun, dataset: ParsedDataset, seconds: float, steps: int
) -> dict[str, Any]:
    """Write weights and card; the result names them relative to the output folder."""
    held = dataset.held_out
    metrics = classification_metrics(
        probabilities(run.module, dataset.inputs[held], run.device), dataset.labels[held], dataset.class_names
    )
    info = WeightsInfo(
        recipe=recipe.name,
        recipe_version=recipe.version,
        params=dict(spec.params),
        shape=dataset.shape,
        dataset_hash=spec.provenance.get("dataset_hash", ""),
        code_version=spec.provenance.get("code_version", ""),
    )
    folder = Path(spec.output_dir)
    weights = run.weights()
    sha256 = save_weights(folder / "weights.safetensors", weights, info)
    result = {
        "weights": "weights.safetensors",
        "weights_sha256": sha256,
        "weights_bytes": (folder / "weights.safetensors").stat().st_size,
        "card": "card.md",
        "metrics": metrics,
        "curves": run.curves,
        "epochs": run.epoch,
        "steps": run.step,
        "parameter_count": sum(value.numel() for value in run.module.parameters()),
        "train_seconds": seconds,
        "examples_per_second": steps * run.examples_an_epoch * run.epoch / max(1, run.step) / max(seconds, 1e-9),
    }
    (folder / "card.md").write_text(_card(recipe, info, dataset.shape, held, result, spec.device), encoding="utf-8")
    return result


def _card(
    recipe: Recipe, info: WeightsInfo, shape: DataShape, held: np.ndarray, result: dict[str, Any], device: str
) -> str:
    metrics = result["metrics"]
    weakest = min(metrics["per_class"], key=lambda row: row["f1"])
    return recipe.render_card(
        {
            "title": recipe.title,
            "summary": recipe.summary,
            "recipe": recipe.name,
            "recipe_version": recipe.version,
            "form": info.params.get("form", ""),
            "dataset_hash": info.dataset_hash,
            "code_version": info.code_version,
            "train_examples": f"{int((~held).sum()):,}",
            "held_out_examples": f"{int(held.sum()):,}",
            "classes": ", ".join(shape.class_names[:30]) + (" …" if len(shape.class_names) > 30 else ""),
            "parameter_count": f"{result['parameter_count']:,}",
            "epochs_run": result["epochs"],
            "seconds": f"{result['train_seconds']:.1f}",
            "device": device,
            "accuracy": f"{metrics['accuracy']:.1%}",
            "macro_f1": f"{metrics['macro_f1']:.3f}",
            "expected_calibration_error": f"{metrics['expected_calibration_error']:.3f}",
            "weakest_class": f"{weakest['name']} (F1 {weakest['f1']:.3f})",
            "image_shape": " × ".join(str(side) for side in shape.input_shape),
            "params": json.dumps(info.params, indent=2, sort_keys=True),
        }
    )


# -- evaluate, predict -----------------------------------------------------------------------------------------------


def _open_model(spec: JobSpec, dataset: ParsedDataset) -> tuple[torch.nn.Module, WeightsInfo, torch.device]:
    device = open_device(spec.device)
    if spec.weights is None:
        raise JobFailure("weights_invalid", f"{spec.kind} needs weights")
    module, info = load_model(Path(spec.weights), device=spec.device)
    if info.recipe != spec.recipe:
        raise JobFailure("weights_invalid", f"the weights are of {info.recipe}, not of {spec.recipe}")
    if info.shape.input_shape != dataset.shape.input_shape or info.shape.layout != dataset.layout:
        raise JobFailure(
            "data_unsuitable", f"the model takes {info.shape.input_shape}, the data are {dataset.shape.input_shape}"
        )
    return module, info, device


def evaluate(spec: JobSpec, reporter: Reporter, stop: Callable[[], bool]) -> dict[str, Any]:
    """Measure a model on the held-out fifth of a data set whose classes are the model's."""
    dataset = read_dataset(spec.dataset)
    module, info, device = _open_model(spec, dataset)
    unknown = set(dataset.class_names) - set(info.shape.class_names)
    if unknown:
        raise JobFailure("data_unsuitable", f"classes the model does not know: {', '.join(sorted(unknown)[:10])}")
    places = np.array([info.shape.class_names.index(name) for name in dataset.class_names])
    held = dataset.held_out
    chances = _predict_all(module, dataset.inputs[held], device, reporter, stop)
    return {"metrics": classification_metrics(chances, places[dataset.labels[held]], info.shape.class_names)}


def batch_predict(spec: JobSpec, reporter: Reporter, stop: Callable[[], bool]) -> dict[str, Any]:
    """Label every example of a data set: one JSON line each, in order, in predictions.jsonl."""
    dataset = read_dataset(spec.dataset)
    module, info, device = _open_model(spec, dataset)
    chances = _predict_all(module, dataset.inputs, device, reporter, stop)
    folder = Path(spec.output_dir)
    temporary = folder / "predictions.jsonl.part"
    with temporary.open("w", encoding="utf-8") as file:
        for row, chance in enumerate(chances):
            best = int(chance.argmax())
            line = {"row": row, "label": info.shape.class_names[best], "confidence": round(float(chance[best]), 6)}
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(folder / "predictions.jsonl")
    return {"predictions": "predictions.jsonl", "items": len(chances)}


def _predict_all(
    module: torch.nn.Module,
    inputs: np.ndarray,
    device: torch.device,
    reporter: Reporter,
    stop: Callable[[], bool],
    block: int = 4096,
) -> np.ndarray:
    """Probabilities of all inputs; may be stopped between blocks."""
    parts = []
    for start in range(0, len(inputs), block):
        if stop():
            raise Stopped
        parts.append(probabilities(module, inputs[start : start + block], device))
        done = min(start + block, len(inputs))
        reporter.send("progress", step=done, total=len(inputs), epoch=0, fraction=done / len(inputs))
    return np.concatenate(parts)
