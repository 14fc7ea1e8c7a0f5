"""Open a training run of the image classifier (torch)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from mlops.recipes.image_cnn.augment import random_affine
from mlops.recipes.image_cnn.model import build_module
from mlops.recipes.supervised import SupervisedRun, TrainingData


def open_run(params: Mapping[str, Any], data: TrainingData, device: torch.device) -> SupervisedRun:
    """A run at its first step. Sets torch's global seed, which initialisation and dropout draw from."""
    torch.manual_seed(params["seed"])
    module = build_module(params, data.shape)
    module.fit_normalisation(data.train_inputs)
    return SupervisedRun(module, data, params, device, augment=random_affine)
