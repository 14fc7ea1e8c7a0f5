"""How good a classifier is on examples it never saw. NumPy only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

_BINS = 15
_SMALLEST = 1e-12


def classification_metrics(probabilities: np.ndarray, labels: np.ndarray, class_names: Sequence[str]) -> dict[str, Any]:
    """Measures of (n, classes) probabilities against (n,) labels, as JSON types.

    Precision, recall and F1 of a class without a case in question are 0, as scikit-learn has them by default.
    `confusion_matrix[i][j]`: examples of class i that were called j.
    """
    predicted = probabilities.argmax(axis=1)
    classes = len(class_names)
    confusion = np.zeros((classes, classes), dtype=np.int64)
    np.add.at(confusion, (labels, predicted), 1)
    hits = confusion.diagonal().astype(np.float64)
    precision = _ratio(hits, confusion.sum(axis=0))
    recall = _ratio(hits, confusion.sum(axis=1))
    f1 = _ratio(2 * precision * recall, precision + recall)
    own = probabilities[np.arange(len(labels)), labels]
    return {
        "examples": len(labels),
        "accuracy": float(hits.sum() / len(labels)),
        "macro_f1": float(f1.mean()),
        "loss": float(-np.log(np.maximum(own, _SMALLEST)).mean()),
        "expected_calibration_error": expected_calibration_error(probabilities, labels),
        "per_class": [
            {
                "name": name,
                "examples": int(confusion[place].sum()),
                "precision": float(precision[place]),
                "recall": float(recall[place]),
                "f1": float(f1[place]),
            }
            for place, name in enumerate(class_names)
        ],
        "confusion_matrix": confusion.tolist(),
    }


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """Zero where there is nothing to divide by."""
    return np.divide(above, below, out=np.zeros(len(above)), where=below > 0)


def expected_calibration_error(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Mean distance of confidence and accuracy over 15 equal bins, weighted by their examples (Guo et al., 2017)."""
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    places = np.minimum((confidence * _BINS).astype(int), _BINS - 1)
    error = 0.0
    for place in range(_BINS):
        inside = places == place
        if inside.any():
            error += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    return float(error)
