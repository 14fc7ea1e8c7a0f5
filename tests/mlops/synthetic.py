"""Small data sets that a net can learn in a second."""

import numpy as np

from mlops.datasets import DEFAULT_LIMITS, ParsedDataset
from mlops.datasets.assemble import build_dataset


def bars(count=240, side=10, seed=1, channels=None) -> ParsedDataset:
    """Pictures of a bar that lies, stands or leans, with noise: three classes."""
    rng = np.random.default_rng(seed)
    inputs = rng.integers(0, 60, (count, side, side), dtype=np.uint8)
    for row in range(count):
        place = int(rng.integers(2, side - 2))
        if row % 3 == 0:
            inputs[row, place, :] = 230
        elif row % 3 == 1:
            inputs[row, :, place] = 230
        else:
            np.fill_diagonal(inputs[row], 230)
    if channels:
        inputs = np.repeat(inputs[..., None], channels, axis=3)
    labels = [("lying", "standing", "leaning")[row % 3] for row in range(count)]
    return build_dataset("images", inputs, labels, limits=DEFAULT_LIMITS)
