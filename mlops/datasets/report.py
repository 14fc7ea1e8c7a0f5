"""What a careful person would want to know before training on a data set."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np

_LISTED = 50
_FAR = 10.0
_THIN_CLASS = 0.2


def cleaning_report(
    layout: str, inputs: np.ndarray, labels: np.ndarray, class_names: tuple[str, ...], digests: list[bytes]
) -> dict[str, Any]:
    """Duplicates, contradictions, constant rows, values far out, and the balance of classes, as JSON types.

    Rows are places in the data set, from 0; lists are cut at 50, counts are whole.
    """
    flat = inputs.reshape(len(inputs), -1)
    constant = np.flatnonzero((flat == flat[:, :1]).all(axis=1))
    report: dict[str, Any] = {
        "duplicates": _duplicates(labels, digests),
        "constant_rows": {"count": len(constant), "rows": constant[:_LISTED].tolist()},
        "class_balance": _balance(labels, class_names),
    }
    if layout == "features":
        report["constant_columns"] = np.flatnonzero((flat == flat[:1]).all(axis=0))[:_LISTED].tolist()
        report["far_values"] = _far_values(flat)
    return report


def _duplicates(labels: np.ndarray, digests: list[bytes]) -> dict[str, Any]:
    """Equal examples; those with different labels contradict each other."""
    groups: dict[bytes, list[int]] = defaultdict(list)
    for row, digest in enumerate(digests):
        groups[digest].append(row)
    repeated = [rows for rows in groups.values() if len(rows) > 1]
    contrary = [rows for rows in repeated if len({int(labels[row]) for row in rows}) > 1]
    return {
        "surplus_rows": sum(len(rows) - 1 for rows in repeated),
        "groups": repeated[:_LISTED],
        "contradictions": len(contrary),
        "contradicting_groups": contrary[:_LISTED],
    }


def _balance(labels: np.ndarray, class_names: tuple[str, ...]) -> dict[str, Any]:
    """Rows a class; a class with less than a fifth of the mean is called thin."""
    counts = np.bincount(labels, minlength=len(class_names))
    mean = len(labels) / len(class_names)
    return {
        "rows": {name: int(count) for name, count in zip(class_names, counts, strict=True)},
        "largest_to_smallest": round(float(counts.max() / max(1, counts.min())), 3),
        "thin_classes": [name for name, count in zip(class_names, counts, strict=True) if count < _THIN_CLASS * mean],
    }


def _far_values(flat: np.ndarray) -> dict[str, Any]:
    """Values more than ten deviations from their column's mean: often a unit or a decimal point gone wrong."""
    wide = flat.astype(np.float64)
    deviation = wide.std(axis=0)
    away = np.abs(wide - wide.mean(axis=0)) > _FAR * np.where(deviation > 0, deviation, np.inf)
    places = np.argwhere(away)
    return {"count": len(places), "places": places[:_LISTED].tolist()}
