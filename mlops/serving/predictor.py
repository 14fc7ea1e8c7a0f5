"""Computes for the server with torch: the engine, and where a version's weights lie."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from millrace.kernel import storage
from mlops.recipes import DataShape
from mlops.serving.engine import Engine, LoadedModel, open_model
from mlops.serving.messages import PredictRequest
from mlops.serving.server import DeviceLost


class TorchPredictor:
    """Keeps `capacity` models on `device`; the least recently used one goes first."""

    def __init__(self, *, device: str, capacity: int, threads: int = 0) -> None:
        if threads:
            torch.set_num_threads(threads)
        self._device = device
        self._keys: dict[str, str] = {}
        self._engine = Engine(self._load, capacity=capacity)

    def shape(self, request: PredictRequest) -> DataShape:
        """The shape of the model that the request names."""
        with _device_watched():
            return self._engine.model(self._name(request)).shape

    def probabilities(self, request: PredictRequest, inputs: np.ndarray) -> np.ndarray:
        """(n, classes) of inputs (n, *shape)."""
        with _device_watched():
            return self._engine.predict_batch(self._name(request), inputs)

    def _name(self, request: PredictRequest) -> str:
        name = str(request.version_id)
        self._keys[name] = request.weights_key
        return name

    def _load(self, name: str) -> LoadedModel:
        return open_model(storage.local_path(self._keys[name]), self._device)


@contextmanager
def _device_watched() -> Iterator[None]:
    """CUDA answers every call with the same error once it failed, whatever it was; running out of memory is another."""
    try:
        yield
    except torch.AcceleratorError as lost:
        raise DeviceLost(str(lost).partition("\n")[0]) from lost
