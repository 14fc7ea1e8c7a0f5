"""The training loop of every recipe that learns labels from examples (torch).

A run advances one optimiser step at a time, so that whoever drives it may stop between any two steps; its whole state
(weights, optimiser, random numbers, place in the epoch) goes out as tensors and JSON scalars, and a run restored from
them goes on bit for bit on the CPU.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from mlops.recipes import DataShape

Augment = Callable[[Tensor, Mapping[str, Any], torch.Generator], Tensor]
EVALUATION_BATCH = 512
VALIDATION_SHARE = 0.1


@dataclass(frozen=True)
class TrainingData:
    """Examples as tensors on the CPU: inputs as stored, labels int64 of class positions."""

    shape: DataShape
    train_inputs: Tensor
    train_labels: Tensor
    held_out_inputs: Tensor
    held_out_labels: Tensor


@dataclass(frozen=True)
class EpochReport:
    """Means over one epoch; held-out figures are for the eye only and never choose a weight."""

    epoch: int
    train_loss: float
    train_accuracy: float
    held_out_loss: float
    held_out_accuracy: float
    validation_loss: float | None
    learning_rate: float

    def as_json(self) -> dict[str, Any]:
        """The row of the loss curves."""
        return dict(self.__dict__)


@dataclass
class _Place:
    """Where the run stands; everything in it is JSON."""

    step: int = 0
    epoch: int = 0
    batch: int = 0
    seen: int = 0
    best_loss: float | None = None
    epochs_without_gain: int = 0
    done: bool = False
    curves: list[dict[str, Any]] = field(default_factory=list)


def one_cycle(step: int, total: int, peak: float) -> float:
    """Learning rate of `step` (0-based): a cosine up from peak/25 over the first three tenths, then down to peak/10⁴.

    Smith and Topin, Super-Convergence, 2018.
    """
    rise = max(1.0, 0.3 * total)
    start, end = peak / 25, peak / 1e4
    if step < rise:
        return start + (peak - start) * (1 - math.cos(math.pi * step / rise)) / 2
    share = (step - rise) / max(1.0, total - 1 - rise)
    return end + (peak - end) * (1 + math.cos(math.pi * min(1.0, share))) / 2


class SupervisedRun:
    """One training run. `advance()` until `done`; then `weights()` are the result.

    `module` offers `prepare(inputs) -> planes` and maps those to logits.
    """

    def __init__(
        self,
        module: nn.Module,
        data: TrainingData,
        params: Mapping[str, Any],
        device: torch.device,
        augment: Augment | None = None,
    ) -> None:
        self.module = module.to(device)
        self.params = params
        self.device = device
        self._augment = augment
        self._draws = torch.Generator().manual_seed(params["seed"])
        self._held_out = (data.held_out_inputs, data.held_out_labels)
        self._train, self._validation = self._set_aside(data)
        self._optimizer = torch.optim.AdamW(
            self.module.parameters(), lr=params["learning_rate"], weight_decay=params["weight_decay"], fused=True
        )
        self._steps_an_epoch = math.ceil(len(self._train[1]) / params["batch_size"])
        self._place = _Place()
        self._tally = torch.zeros(2, dtype=torch.float64, device=device)
        self._best: dict[str, Tensor] = {}
        self._order = self._shuffle(0)

    # -- where it stands ------------------------------------------------------------------------------------------

    @property
    def total_steps(self) -> int:
        """Optimiser steps of a run that is not stopped early."""
        return self._steps_an_epoch * self.params["epochs"]

    @property
    def step(self) -> int:
        """Optimiser steps taken."""
        return self._place.step

    @property
    def epoch(self) -> int:
        """Epochs finished."""
        return self._place.epoch

    @property
    def done(self) -> bool:
        """Whether the last epoch is over, or early stopping has ended the run."""
        return self._place.done

    @property
    def curves(self) -> list[dict[str, Any]]:
        """One row an epoch; see EpochReport."""
        return list(self._place.curves)

    @property
    def examples_an_epoch(self) -> int:
        """Training examples that one epoch passes over."""
        return len(self._train[1])

    # -- the loop -------------------------------------------------------------------------------------------------

    def advance(self) -> EpochReport | None:
        """Take one optimiser step; at the end of an epoch, measure and report. Call only while not `done`."""
        place = self._place
        if place.batch == 0:
            self.module.train()
        rows = self._order[place.batch * self.params["batch_size"] : (place.batch + 1) * self.params["batch_size"]]
        inputs = self._train[0][rows].to(self.device)
        labels = self._train[1][rows].to(self.device)
        self._learn(inputs, labels)
        place.step += 1
        place.batch += 1
        place.seen += len(rows)
        return self._close_epoch() if place.batch == self._steps_an_epoch else None

    def _learn(self, inputs: Tensor, labels: Tensor) -> None:
        for group in self._optimizer.param_groups:
            group["lr"] = self._rate()
        planes = self.module.prepare(inputs)  # type: ignore[operator]  # a net's own method
        if self._augment is not None and self.params["augment"]:
            planes = self._augment(planes, self.params, self._draws)
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.params["mixed_precision"]):
            logits = self.module(planes)
        loss = functional.cross_entropy(logits.float(), labels, label_smoothing=self.params["label_smoothing"])
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self._optimizer.step()
        # Kept on the device: reading a figure each step would make the host wait for the GPU.
        hits = (logits.detach().argmax(dim=1) == labels).sum()
        self._tally += torch.stack([loss.detach().double() * len(labels), hits.double()])

    def _rate(self) -> float:
        if self.params["schedule"] == "constant":
            return self.params["learning_rate"]
        return one_cycle(self._place.step, self.total_steps, self.params["learning_rate"])

    def _close_epoch(self) -> EpochReport:
        place = self._place
        rate = self._optimizer.param_groups[0]["lr"]
        loss_sum, hits = self._tally.tolist()
        held_loss, held_hits = self._measure(*self._held_out)
        place.epoch += 1
        validation = self._judge_validation()
        report = EpochReport(
            epoch=place.epoch,
            train_loss=loss_sum / place.seen,
            train_accuracy=hits / place.seen,
            held_out_loss=held_loss,
            held_out_accuracy=held_hits,
            validation_loss=validation,
            learning_rate=rate,
        )
        # The last step of an epoch shows in the held-out loss alone.
        for loss in (report.train_loss, report.held_out_loss):
            if not math.isfinite(loss):
                raise TrainingDiverged(f"the loss is {loss} after epoch {place.epoch}: lower the learning rate")
        place.curves.append(report.as_json())
        place.done = place.done or place.epoch == self.params["epochs"]
        place.batch = place.seen = 0
        self._tally.zero_()
        self._order = self._shuffle(place.epoch)
        if place.done and self._best:
            self.module.load_state_dict(self._best)
        return report

    def _judge_validation(self) -> float | None:
        """Keep the best weights so far; end the run when patience is spent."""
        if self._validation is None:
            return None
        place = self._place
        loss, _ = self._measure(*self._validation)
        if place.best_loss is None or loss < place.best_loss:
            place.best_loss, place.epochs_without_gain = loss, 0
            self._best = {name: value.detach().clone() for name, value in self.module.state_dict().items()}
        else:
            place.epochs_without_gain += 1
            place.done = place.epochs_without_gain >= self.params["early_stopping_patience"]
        return loss

    def _measure(self, inputs: Tensor, labels: Tensor) -> tuple[float, float]:
        """Mean cross-entropy and accuracy over (inputs, labels)."""
        logits = predict_logits(self.module, inputs, self.device)
        loss = functional.cross_entropy(logits, labels).item()
        return loss, (logits.argmax(dim=1) == labels).double().mean().item()

    # -- data -----------------------------------------------------------------------------------------------------

    def _shuffle(self, epoch: int) -> Tensor:
        """The order of `epoch`: a function of seed and epoch alone, so that a resumed epoch finds its place."""
        generator = torch.Generator().manual_seed(self.params["seed"] * 100_003 + epoch)
        return torch.randperm(len(self._train[1]), generator=generator)

    def _set_aside(self, data: TrainingData) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor] | None]:
        """Training rows, and validation rows when early stopping asks for them: never from the held-out part."""
        if not self.params["early_stopping_patience"]:
            return (data.train_inputs, data.train_labels), None
        generator = torch.Generator().manual_seed(self.params["seed"])
        order = torch.randperm(len(data.train_labels), generator=generator)
        cut = max(1, round(len(order) * VALIDATION_SHARE))
        kept, aside = order[cut:], order[:cut]
        return (
            (data.train_inputs[kept], data.train_labels[kept]),
            (data.train_inputs[aside], data.train_labels[aside]),
        )

    # -- state ----------------------------------------------------------------------------------------------------

    def weights(self) -> dict[str, Tensor]:
        """A copy of the net's tensors, on the CPU."""
        return {name: _copy(value) for name, value in self.module.state_dict().items()}

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Copies of the tensors and JSON scalars from which `restore` goes on."""
        tensors = {f"module.{name}": value for name, value in self.weights().items()}
        for index, slots in self._optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{name}": _copy(value) for name, value in slots.items()}
        tensors |= {f"best.{name}": _copy(value) for name, value in self._best.items()}
        tensors["tally"] = _copy(self._tally)
        tensors["random.draws"] = self._draws.get_state()
        tensors["random.cpu"] = torch.get_rng_state()
        if self.device.type == "cuda":
            tensors["random.cuda"] = torch.cuda.get_rng_state(self.device)
        return tensors, asdict(self._place)

    def restore(self, tensors: Mapping[str, Tensor], scalars: Mapping[str, Any]) -> None:
        """Go on from `state()`. Raises KeyError, TypeError, ValueError or RuntimeError if it is of another run."""
        self._place = _Place(**scalars)
        self.module.load_state_dict(_under(tensors, "module."))
        optimizer = self._optimizer.state_dict()
        slots: dict[int, dict[str, Tensor]] = {}
        for name, value in _under(tensors, "optimizer.").items():
            index, slot = name.split(".", 1)
            slots.setdefault(int(index), {})[slot] = value
        self._optimizer.load_state_dict({"state": slots, "param_groups": optimizer["param_groups"]})
        self._best = {name: value.to(self.device) for name, value in _under(tensors, "best.").items()}
        self._tally = tensors["tally"].to(self.device, copy=True)
        self._draws.set_state(tensors["random.draws"])
        torch.set_rng_state(tensors["random.cpu"])
        if self.device.type == "cuda" and "random.cuda" in tensors:
            torch.cuda.set_rng_state(tensors["random.cuda"], self.device)
        self._order = self._shuffle(self._place.epoch)
        # A restored run may stand in the middle of an epoch, where advance() does not switch the mode.
        self.module.train()


class TrainingDiverged(Exception):
    """The loss left the numbers; the message says what to change."""


def _copy(value: Tensor) -> Tensor:
    return value.detach().to("cpu", copy=True).contiguous()


def _under(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name[len(prefix) :]: value for name, value in tensors.items() if name.startswith(prefix)}


@torch.inference_mode()
def predict_logits(module: nn.Module, inputs: Tensor, device: torch.device) -> Tensor:
    """Logits of all `inputs`, on the CPU, in evaluation mode; batches bound the memory."""
    module.eval()
    parts = [
        module(module.prepare(inputs[start : start + EVALUATION_BATCH].to(device))).float().cpu()  # type: ignore[operator]
        for start in range(0, len(inputs), EVALUATION_BATCH)
    ]
    return torch.cat(parts)
