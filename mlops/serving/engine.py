"""Models in memory, the least recently used ones dropped; a batch in, probabilities out (torch)."""

from __future__ import annotations

import gc
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from mlops.recipes import DataShape
from mlops.recipes.supervised import predict_logits
from mlops.runtime.weights import load_model


@dataclass(frozen=True)
class LoadedModel:
    """A net on its device, and what it takes and names."""

    module: nn.Module
    shape: DataShape
    device: torch.device

    @property
    def bytes(self) -> int:
        """Memory of the net's tensors."""
        return sum(value.numel() * value.element_size() for value in self.module.state_dict().values())


def open_model(path: Path, device: str = "cpu") -> LoadedModel:
    """Load a weights file for serving. Raises mlops.runtime.weights.WeightsInvalid."""
    module, info = load_model(path, device=device)
    return LoadedModel(module, info.shape, torch.device(device))


class Engine:
    """Computes for model versions. `load` gives the model of a version id; its errors pass through.

    At most `capacity` models are kept; memory of a dropped one goes back to the device at once (J7). Not thread-safe:
    one owner.
    """

    def __init__(self, load: Callable[[str], LoadedModel], *, capacity: int = 8) -> None:
        if capacity < 1:
            raise ValueError("capacity is 1 or more")
        self._load = load
        self._capacity = capacity
        self._models: OrderedDict[str, LoadedModel] = OrderedDict()

    @property
    def versions(self) -> tuple[str, ...]:
        """Versions in memory, the next to be dropped first."""
        return tuple(self._models)

    def model(self, version: str) -> LoadedModel:
        """The model of a version, loaded if need be."""
        if version in self._models:
            self._models.move_to_end(version)
            return self._models[version]
        # Room is made first, so that capacity + 1 models never stand on the device together.
        while len(self._models) >= self._capacity:
            self.unload(next(iter(self._models)))
        loaded = self._models[version] = self._load(version)
        return loaded

    def unload(self, version: str) -> None:
        """Drop a version if it is in memory."""
        model = self._models.pop(version, None)
        if model is None:
            return
        on_cuda = model.device.type == "cuda"
        del model
        gc.collect()
        if on_cuda:
            torch.cuda.empty_cache()

    def predict_batch(self, version: str, inputs: np.ndarray) -> np.ndarray:
        """Probabilities (n, classes) float32 for inputs (n, *input_shape). Raises ValueError for another shape."""
        model = self.model(version)
        if inputs.shape[1:] != model.shape.input_shape:
            raise ValueError(f"inputs are {inputs.shape[1:]}; the model takes {model.shape.input_shape}")
        logits = predict_logits(model.module, torch.from_numpy(np.ascontiguousarray(inputs)), model.device)
        return torch.softmax(logits, dim=1).numpy()
