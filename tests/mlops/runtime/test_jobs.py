"""Whole jobs in their own process: trained, stopped, killed, resumed, evaluated, predicted with."""

import json
import os
import shutil
import signal
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from mlops.datasets import ParsedDataset
from mlops.recipes import load_recipe
from mlops.runtime.spec import JobSpec, ProcessLimits
from mlops.runtime.supervisor import run_child
from mlops.runtime.weights import load_model
from mlops.runtime.work import code_of, probabilities
from tests.mlops.synthetic import bars


@pytest.fixture(scope="module")
def dataset() -> ParsedDataset:
    return bars(count=120)


@pytest.fixture(scope="module")
def stored(dataset, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("data") / "dataset.npz"
    path.write_bytes(dataset.canonical_bytes)
    return path


def spec_of(workdir, stored, kind="train", params=None, **options):
    full = load_recipe("image-cnn").resolve_params({"form": "deep", "epochs": 4, "batch_size": 16} | (params or {}))
    options = {
        "threads": 1,
        "checkpoint_seconds": 1000.0,
        "provenance": {"dataset_hash": "h", "code_version": "c"},
    } | options
    return JobSpec(kind, "image-cnn", full, str(stored), str(workdir / "out"), **options)


def run(spec, on_event=lambda event: None, should_cancel=lambda: False, limits=None):
    return run_child(
        spec,
        workdir=Path(spec.output_dir).parent,
        on_event=on_event,
        should_cancel=should_cancel,
        heartbeat=lambda beat: True,
        limits=limits or ProcessLimits(memory_bytes=4 * 1024**3, wall_seconds=150),
        device_env={},
    )


@pytest.fixture(scope="module")
def trained(dataset, stored, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("trained")
    events = []
    outcome = run(spec_of(workdir, stored), on_event=events.append)
    assert outcome.code == "ok", (outcome.message, outcome.log)
    return workdir / "out", outcome, events


def assert_same_weights(first: Path, second: Path):
    one, two = load_file(first), load_file(second)
    assert one.keys() == two.keys()
    assert all(one[name].equal(two[name]) for name in one)


def test_a_trained_job_leaves_weights_metrics_and_a_card(trained, dataset):
    out, outcome, events = trained
    result = outcome.result

    module, info = load_model(out / result["weights"])
    held = dataset.held_out
    found = probabilities(module, dataset.inputs[held], next(module.parameters()).device).argmax(axis=1)
    assert (found == dataset.labels[held]).mean() == result["metrics"]["accuracy"]
    assert result["metrics"]["examples"] == int(held.sum())
    assert info.dataset_hash == "h"
    assert [row["epoch"] for row in result["curves"]] == [1, 2, 3, 4]
    assert "deep" in (out / result["card"]).read_text()
    assert {event.data["name"] for event in events if event.kind == "metric"} >= {"train_loss", "held_out_accuracy"}
    progress = [event.data["fraction"] for event in events if event.kind == "progress"]
    assert progress == sorted(progress)
    assert progress[-1] == 1.0


def test_j8_a_killed_run_goes_on_from_its_checkpoint_to_the_same_weights(trained, stored, tmp_path):
    """SIGKILL in mid-run; the epoch after it ends bit for bit where an undisturbed run ends."""
    first = tmp_path / "first"
    pids, checkpoints = [], []

    def kill_after_a_checkpoint(event):
        if event.kind == "spawned":
            pids.append(event.data["pid"])
        if event.kind == "segment" and event.data["checkpoint"] and not checkpoints:
            checkpoints.append(event.data["checkpoint"])
            os.kill(pids[0], signal.SIGKILL)

    killed = run(spec_of(first, stored, checkpoint_seconds=0.0), on_event=kill_after_a_checkpoint)
    assert (killed.state, killed.code) == ("failed", "crashed")
    assert killed.segments[0].disposition_hint == "billable"
    assert killed.segments[-1].disposition_hint == "lost"
    assert 0 < checkpoints[0]["step"] < 24
    saved = tmp_path / "kept.safetensors"
    shutil.copy(checkpoints[0]["path"], saved)

    resumed = run(spec_of(tmp_path / "second", stored, resume=str(saved)))

    assert resumed.code == "ok", resumed.message
    out, whole, _ = trained
    assert_same_weights(tmp_path / "second" / "out" / "weights.safetensors", out / "weights.safetensors")
    assert resumed.result["curves"] == whole.result["curves"]


def test_a_canceled_run_can_be_resumed(stored, tmp_path):
    seen = []
    canceled = run(
        spec_of(tmp_path / "a", stored, params={"epochs": 500}),
        on_event=lambda event: seen.append(event.kind),
        should_cancel=lambda: "metric" in seen,
    )

    assert (canceled.state, canceled.exit_code) == ("canceled", 0)
    assert canceled.checkpoint["step"] > 0
    assert {segment.disposition_hint for segment in canceled.segments} == {"billable"}
    assert list((tmp_path / "a/out/checkpoints").glob("*.part")) == []


def test_a_model_is_evaluated_and_predicts_a_batch(trained, dataset, stored, tmp_path):
    out, outcome, _ = trained
    weights = str(out / "weights.safetensors")

    measured = run(spec_of(tmp_path / "e", stored, kind="evaluate", weights=weights))
    predicted = run(spec_of(tmp_path / "b", stored, kind="batch_predict", weights=weights))

    assert measured.result["metrics"]["accuracy"] == outcome.result["metrics"]["accuracy"]
    assert predicted.result["items"] == len(dataset)
    lines = (tmp_path / "b/out" / predicted.result["predictions"]).read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    assert [row["row"] for row in rows] == list(range(len(dataset)))
    right = [row["label"] == dataset.class_names[label] for row, label in zip(rows, dataset.labels, strict=True)]
    assert sum(right) / len(right) > 0.8


@pytest.mark.parametrize(
    ("case", "code"),
    [
        ("params", "params_invalid"),
        ("recipe", "recipe_unknown"),
        ("dataset", "dataset_invalid"),
        ("missing", "dataset_invalid"),
        ("device", "device_unavailable"),
        ("resume", "checkpoint_invalid"),
        ("weights", "weights_invalid"),
    ],
)
def test_what_cannot_be_done_is_coded(case, code, stored, tmp_path):
    broken = tmp_path / "broken"
    broken.write_bytes(b"\x80\x04pickle" * 40)
    spec = spec_of(tmp_path, stored)
    fields = dict(spec.__dict__)
    fields |= {
        "params": {"params": spec.params | {"epochs": -1}},
        "recipe": {"recipe": "none"},
        "dataset": {"dataset": str(broken)},
        "missing": {"dataset": str(tmp_path / "nothing")},
        "device": {"device": "cuda:0"},
        "resume": {"resume": str(broken)},
        "weights": {"weights": str(broken)},
    }[case]

    outcome = run(JobSpec(**fields))

    assert (outcome.state, outcome.code) == ("failed", code)
    assert outcome.segments[-1].disposition_hint == "lost"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."), "out_of_memory"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), "out_of_memory"),
        (torch.AcceleratorError("CUDA error: out of memory"), "out_of_memory"),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), "out_of_memory"),
        (torch.AcceleratorError("CUDA error: uncorrectable ECC error encountered"), "device_unavailable"),
        (torch.AcceleratorError("CUDA error: device-side assert triggered"), "recipe_failed"),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), "recipe_failed"),
    ],
)
def test_what_the_card_does_of_itself_is_not_the_jobs_fault(error, code):
    assert code_of(error) == code


def test_a_run_that_may_not_have_the_memory_ends_as_out_of_memory(stored, tmp_path):
    outcome = run(
        spec_of(tmp_path, stored, params={"form": "mlp", "hidden": 64}),
        limits=ProcessLimits(memory_bytes=60_000_000, wall_seconds=100),
    )

    assert outcome.code == "out_of_memory"
