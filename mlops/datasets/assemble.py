"""From values and labels, as a reader found them, to a checked data set."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import numpy as np

from mlops.datasets.limits import Limits
from mlops.datasets.parsed import ParsedDataset
from mlops.datasets.problems import DatasetProblem
from mlops.datasets.report import cleaning_report
from mlops.datasets.split import content_digests, held_out_mask

LAYOUTS = ("auto", "images", "features")
_WHOLE = re.compile(r"-?[0-9]{1,18}(\.0+)?")
_SMALLEST_SQUARE = 64
_FEWEST_ROWS = 4


def dataset_from_rows(
    rows: np.ndarray,
    labels: Sequence[str],
    *,
    layout: str,
    limits: Limits,
    column_names: Sequence[str] = (),
    image_shape: tuple[int, ...] | None = None,
) -> ParsedDataset:
    """A data set of float rows (n, columns). `layout` "auto" takes square rows of bytes for pictures.

    Raises DatasetProblem.
    """
    shape = image_shape or _square_shape(rows, asked=layout)
    if layout == "features" or shape is None:
        return build_dataset("features", _as_float32(rows), labels, limits=limits, column_names=column_names)
    _require_bytes(rows)
    pictures = rows.astype(np.uint8).reshape(len(rows), *shape)
    return build_dataset("images", pictures, labels, limits=limits)


def build_dataset(
    layout: str,
    inputs: np.ndarray,
    labels: Sequence[str],
    *,
    limits: Limits,
    column_names: Sequence[str] = (),
) -> ParsedDataset:
    """Name the classes, hold out the fifth, report on cleanliness. Raises DatasetProblem."""
    if len(inputs) < _FEWEST_ROWS:
        raise DatasetProblem("rows_too_few", f"{len(inputs)} rows; {_FEWEST_ROWS} are the least")
    class_names, positions = encode_labels(labels, limits)
    digests = content_digests(inputs)
    held_out = held_out_mask(inputs, positions, digests)
    if not held_out.any() or held_out.all():
        raise DatasetProblem("rows_too_few", "too few different rows in every class to hold any out")
    return ParsedDataset(
        layout=layout,
        inputs=np.ascontiguousarray(inputs),
        labels=positions,
        held_out=held_out,
        class_names=class_names,
        column_names=tuple(column_names),
        report=cleaning_report(layout, inputs, positions, class_names, digests),
    )


def encode_labels(labels: Sequence[str], limits: Limits) -> tuple[tuple[str, ...], np.ndarray]:
    """Class names in order (by number when all are whole numbers, else by text) and each row's position in them."""
    texts = [_plain_label(label) for label in labels]
    distinct = set(texts)
    if len(distinct) < 2:
        raise DatasetProblem("classes_too_few", "all rows have the same label; two classes are the least")
    if len(distinct) > limits.classes:
        raise DatasetProblem("classes_too_many", f"{len(distinct)} classes; {limits.classes} are the most")
    for name in distinct:
        if not 0 < len(name) <= limits.class_name_characters or not name.isprintable():
            raise DatasetProblem("class_name_invalid", f"{name[:40]!r} is empty, too long or has unprintable signs")
    numeric = all(_WHOLE.fullmatch(name) for name in distinct)
    names = tuple(sorted(distinct, key=int) if numeric else sorted(distinct))
    place = {name: index for index, name in enumerate(names)}
    return names, np.fromiter((place[text] for text in texts), dtype=np.int64, count=len(texts))


def _plain_label(label: str) -> str:
    """Spreadsheets write 5 as 5.0 and 05; it is the same class."""
    text = label.strip()
    return str(int(text.split(".")[0])) if _WHOLE.fullmatch(text) else text


def _square_shape(rows: np.ndarray, *, asked: str) -> tuple[int, int] | None:
    columns = rows.shape[1]
    side = math.isqrt(columns)
    if asked == "images":
        if side * side != columns:
            raise DatasetProblem("layout_unsuitable", f"{columns} values a row make no square picture")
        return side, side
    fits = asked == "auto" and side * side == columns >= _SMALLEST_SQUARE and _are_bytes(rows)
    return (side, side) if fits else None


def _are_bytes(rows: np.ndarray) -> bool:
    return bool(((rows >= 0) & (rows <= 255)).all() and (rows == np.floor(rows)).all())


def _require_bytes(rows: np.ndarray) -> None:
    wrong = np.argwhere((rows < 0) | (rows > 255) | (rows != np.floor(rows)))
    if len(wrong):
        row, column = (int(place) for place in wrong[0])
        raise DatasetProblem(
            "value_out_of_range",
            f"{rows[row, column]:g} is no pixel: pixels are whole numbers from 0 to 255",
            row=row + 1,
            column=str(column + 1),
        )


def _as_float32(rows: np.ndarray) -> np.ndarray:
    largest = np.finfo(np.float32).max
    wrong = np.argwhere(np.abs(rows) > largest)
    if len(wrong):
        row, column = (int(place) for place in wrong[0])
        raise DatasetProblem(
            "value_out_of_range", f"{rows[row, column]:g} is too large", row=row + 1, column=str(column + 1)
        )
    return rows.astype(np.float32)
