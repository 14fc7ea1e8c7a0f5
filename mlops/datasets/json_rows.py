"""JSON Lines: one object a line, with `label` and either `features`, `image`, or named numbers."""

from __future__ import annotations

import json
from typing import Any, BinaryIO

import numpy as np

from mlops.datasets.assemble import dataset_from_rows
from mlops.datasets.limits import Limits
from mlops.datasets.parsed import ParsedDataset
from mlops.datasets.problems import DatasetProblem, RowProblems
from mlops.datasets.text import text_lines

LABEL = "label"
VALUE_KEYS = ("features", "image")


class RowInvalid(Exception):
    """One row is faulty; caught by the reader, which notes it and goes on."""

    def __init__(self, code: str, message: str, column: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.column = column


def parse_json_lines(source: BinaryIO, *, limits: Limits, layout: str = "auto") -> ParsedDataset:
    """Read JSON Lines. The first row says which key carries the values and how they are shaped. DatasetProblem."""
    reader = _Reader(limits)
    for number, line in text_lines(source, limits):
        if line.strip():
            reader.take(number, line)
            if reader.problems.full:
                break
    reader.problems.raise_if_any()
    if not reader.values:
        raise DatasetProblem("empty", "the file has no rows")
    shape = reader.shape if reader.key == "image" else None
    if shape is not None and layout == "features":
        shape = None
    return dataset_from_rows(
        np.stack(reader.values),
        reader.labels,
        layout=layout,
        limits=limits,
        image_shape=shape,
        column_names=reader.names,
    )


def _refuse_constant(name: str) -> float:
    raise RowInvalid("value_not_finite", f"{name} is not a finite number")


def _object_of(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise RowInvalid("json_invalid", "a key stands twice in one object")
    if not all(map(str.isprintable, found)):
        raise RowInvalid("json_invalid", "a key has unprintable signs")
    return found


class _Reader:
    def __init__(self, limits: Limits) -> None:
        self.problems = RowProblems(limits.problems)
        self.values: list[np.ndarray] = []
        self.labels: list[str] = []
        self.key: str | None = None
        self.names: tuple[str, ...] = ()
        self.shape: tuple[int, ...] | None = None
        self._limits = limits

    def take(self, number: int, line: str) -> None:
        """Read one line, or note what is wrong with it."""
        if len(self.values) >= self._limits.rows:
            raise DatasetProblem("rows_too_many", f"more than {self._limits.rows:,} rows", row=number)
        try:
            row = self._object(line)
            label = _label_text(row)
            values = self._row_values(row)
        except RowInvalid as fault:
            self.problems.add(fault.code, fault.message, number, fault.column)
            return
        if (len(self.values) + 1) * len(values) > self._limits.values:
            raise DatasetProblem("too_large", f"more than {self._limits.values:,} values", row=number)
        self.values.append(values)
        self.labels.append(label)

    def _object(self, line: str) -> dict[str, Any]:
        try:
            row = json.loads(line, parse_constant=_refuse_constant, object_pairs_hook=_object_of)
        except RecursionError:
            raise RowInvalid("json_too_deep", "the JSON is nested too deep") from None
        except ValueError as wrong:
            raise RowInvalid("json_invalid", f"not JSON: {wrong}") from None
        if not isinstance(row, dict):
            raise RowInvalid("json_invalid", "the line is no object")
        return row

    def _row_values(self, row: dict[str, Any]) -> np.ndarray:
        if self.key is None and not self.names:
            self._learn_layout(row)
        shape: tuple[int, ...]
        if self.key is None:
            if set(row) - {LABEL} != set(self.names):
                raise RowInvalid("width_wrong", "the keys are not those of the first row")
            flat, shape = [row[name] for name in self.names], (len(self.names),)
        else:
            if self.key not in row:
                raise RowInvalid("width_wrong", f"the row has no {self.key}", self.key)
            flat, shape = flatten(row[self.key], self._limits.json_depth)
        values = numbers(flat, self.names or None)
        if self.shape is None:
            self._check_shape(shape)
            self.shape = shape
        if shape != self.shape:
            raise RowInvalid("width_wrong", f"the values are shaped {shape} where the first row's are {self.shape}")
        return values

    def _learn_layout(self, row: dict[str, Any]) -> None:
        found = [key for key in VALUE_KEYS if key in row]
        if len(found) > 1:
            raise RowInvalid("layout_unsuitable", "a row has features or an image, not both")
        if found:
            self.key = found[0]
            return
        self.names = tuple(key for key in row if key != LABEL)
        if not self.names:
            raise RowInvalid("width_wrong", "the row has a label and no values")

    def _check_shape(self, shape: tuple[int, ...]) -> None:
        if int(np.prod(shape)) > self._limits.columns:
            raise DatasetProblem("width_too_large", f"more than {self._limits.columns:,} values a row")
        image_like = len(shape) == 2 or (len(shape) == 3 and shape[2] in (1, 3))
        if self.key == "image" and not (image_like and 0 not in shape):
            raise RowInvalid("image_shape", f"an image is height × width or height × width × 3, not {shape}", "image")
        if self.key == "features" and len(shape) != 1:
            raise RowInvalid("width_wrong", "features are one flat list", "features")


def _label_text(row: dict[str, Any]) -> str:
    label = row.get(LABEL)
    if label is None or label == "":
        raise RowInvalid("label_missing", "the row has no label", LABEL)
    if isinstance(label, bool) or not isinstance(label, int | str):
        raise RowInvalid("label_invalid", "a label is a text or a whole number", LABEL)
    if not str(label).strip():
        raise RowInvalid("label_missing", "the label is blank", LABEL)
    return str(label)


def flatten(value: Any, depth_limit: int) -> tuple[list[Any], tuple[int, ...]]:
    """Nested lists to (flat list, shape), without recursion. Raises RowInvalid when ragged, too deep or no list."""
    if not isinstance(value, list):
        raise RowInvalid("value_not_number", "the values are no list")
    flat, shape = value, [len(value)]
    while flat and isinstance(flat[0], list):
        if len(shape) >= depth_limit:
            raise RowInvalid("json_too_deep", f"lists are nested deeper than {depth_limit}")
        width = len(flat[0])
        if any(not isinstance(part, list) or len(part) != width for part in flat):
            raise RowInvalid("width_wrong", "the lists of one level differ in length")
        flat = [item for part in flat for item in part]
        shape.append(width)
    if not flat:
        raise RowInvalid("width_wrong", "the row has no values")
    if len(shape) == 3 and shape[2] == 1:
        shape.pop()
    return flat, tuple(shape)


def numbers(flat: list[Any], names: tuple[str, ...] | None = None) -> np.ndarray:
    """A flat list as float64. Raises RowInvalid naming the first entry that is no finite number."""
    for place, item in enumerate(flat):
        if type(item) not in (int, float):
            column = names[place] if names else str(place + 1)
            # What is nested as deep as the parser takes it cannot be spelled again.
            shown = "a list or an object" if isinstance(item, list | dict) else repr(str(item)[:40])
            raise RowInvalid("value_not_number", f"{shown} is not a number", column)
    try:
        values = np.array(flat, dtype=np.float64)
    except OverflowError:
        raise RowInvalid("value_out_of_range", "a number is too large") from None
    if not np.isfinite(values).all():
        raise RowInvalid("value_not_finite", "a number is too large or not finite")
    return values
