"""A data set that passed every check: arrays, names, and the held-out part."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from mlops.datasets import canonical
from mlops.recipes import DataShape


@dataclass(frozen=True)
class ParsedDataset:
    """Examples in upload order.

    `inputs`: uint8 (n, height, width[, 3]) when `layout` is "images", float32 (n, columns) when "features".
    `labels`: int64 (n,), positions in `class_names`. `held_out`: bool (n,), the fixed fifth.
    `report`: the cleaning report, see mlops.datasets.report; it is about the data and not part of it.
    """

    layout: str
    inputs: np.ndarray
    labels: np.ndarray
    held_out: np.ndarray
    class_names: tuple[str, ...]
    column_names: tuple[str, ...] = ()
    report: dict[str, Any] = field(default_factory=dict, compare=False)

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def shape(self) -> DataShape:
        """What a recipe checks against its contract."""
        return DataShape(self.layout, tuple(self.inputs.shape[1:]), self.class_names, len(self))

    @property
    def image_shape(self) -> tuple[int, ...] | None:
        """(height, width) or (height, width, 3); None for features."""
        return tuple(self.inputs.shape[1:]) if self.layout == "images" else None

    @cached_property
    def canonical_bytes(self) -> bytes:
        """The one file this data set is stored as; equal data gives equal bytes."""
        header = {
            "schema": 1,
            "layout": self.layout,
            "class_names": list(self.class_names),
            "column_names": list(self.column_names),
        }
        arrays = {"inputs": self.inputs, "labels": self.labels, "held_out": self.held_out}
        return canonical.pack(header, arrays)

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 of `canonical_bytes`, in hexadecimal."""
        return canonical.digest(self.canonical_bytes)

    @classmethod
    def from_canonical(cls, content: bytes | io.BufferedIOBase) -> ParsedDataset:
        """Read what `canonical_bytes` wrote. Raises canonical.CanonicalInvalid on anything else."""
        header, arrays = canonical.unpack(content)
        try:
            dataset = cls(
                layout=header["layout"],
                inputs=arrays["inputs"],
                labels=arrays["labels"],
                held_out=arrays["held_out"],
                class_names=tuple(header["class_names"]),
                column_names=tuple(header["column_names"]),
            )
        except KeyError as missing:
            raise canonical.CanonicalInvalid(f"the data set lacks {missing}") from missing
        dataset.check()
        return dataset

    def check(self) -> None:
        """Raise canonical.CanonicalInvalid unless arrays and names agree."""
        rows = len(self.labels)
        kinds = {"images": ("uint8", (3, 4)), "features": ("float32", (2,))}
        if self.layout not in kinds:
            raise canonical.CanonicalInvalid(f"unknown layout {self.layout!r}")
        dtype, ranks = kinds[self.layout]
        sound = (
            self.inputs.dtype == dtype
            and self.inputs.ndim in ranks
            and len(self.inputs) == len(self.held_out) == rows > 0
            and self.labels.dtype == "int64"
            and self.labels.ndim == 1
            and self.held_out.dtype == "bool"
            and self.labels.min() >= 0
            and self.labels.max() < len(self.class_names)
        )
        if not sound:
            raise canonical.CanonicalInvalid("arrays, labels and class names do not agree")

    def statistics(self) -> dict[str, Any]:
        """Counts, sizes and ranges, as JSON types."""
        counts = np.bincount(self.labels, minlength=len(self.class_names))
        held = np.bincount(self.labels[self.held_out], minlength=len(self.class_names))
        return {
            "rows": len(self),
            "train_rows": int((~self.held_out).sum()),
            "held_out_rows": int(self.held_out.sum()),
            "layout": self.layout,
            "input_shape": list(self.inputs.shape[1:]),
            "bytes": len(self.canonical_bytes),
            "minimum": float(self.inputs.min()),
            "maximum": float(self.inputs.max()),
            "mean": float(self.inputs.mean(dtype=np.float64)),
            "deviation": float(self.inputs.std(dtype=np.float64)),
            "classes": [
                {"name": name, "rows": int(count), "held_out_rows": int(out)}
                for name, count, out in zip(self.class_names, counts, held, strict=True)
            ],
        }
