"""Computes for the server with torch: the engine, and where a version's weights lie."""

import numpy as np
import torch

from millrace.kernel import storage
from mlops.recipes import DataShape
from mlops.serving.engine import Engine, LoadedModel, open_model
from mlops.serving.messages import PredictRequest


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
        return self._engine.model(self._name(request)).shape

    def probabilities(self, request: PredictRequest, inputs: np.ndarray) -> np.ndarray:
        """(n, classes) of inputs (n, *shape)."""
        return self._engine.predict_batch(self._name(request), inputs)

    def _name(self, request: PredictRequest) -> str:
        name = str(request.version_id)
        self._keys[name] = request.weights_key
        return name

    def _load(self, name: str) -> LoadedModel:
        return open_model(storage.local_path(self._keys[name]), self._device)
