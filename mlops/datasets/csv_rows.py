"""CSV of pixels or features: the label first, or in a column named `label`."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from typing import BinaryIO

import numpy as np

from mlops.datasets.assemble import dataset_from_rows
from mlops.datasets.limits import Limits
from mlops.datasets.parsed import ParsedDataset
from mlops.datasets.problems import DatasetProblem, RowProblems
from mlops.datasets.text import text_lines

LABEL = "label"


def parse_csv(source: BinaryIO, *, limits: Limits, layout: str = "auto") -> ParsedDataset:
    """Read a CSV with commas, semicolons or tabs. A header is known by a cell that is no number. Raises DatasetProblem.

    Rows are numbered by the line they begin on.
    """
    rows = _records(source, limits)
    first = next(rows, None)
    if first is None:
        raise DatasetProblem("empty", "the file has no rows")
    names, label_place = _heading(first[1], limits)
    collector = _Collector(len(first[1]), label_place, names, limits)
    if names is None:
        collector.add(*first)
    for number, cells in rows:
        collector.add(number, cells)
        if collector.problems.full:
            break
    values, labels = collector.finish()
    return dataset_from_rows(values, labels, layout=layout, limits=limits, column_names=collector.column_names)


def _records(source: BinaryIO, limits: Limits) -> Iterator[tuple[int, list[str]]]:
    """Pairs of (line number, cells); blank lines are skipped."""
    lines = text_lines(source, limits)
    first = next(lines, None)
    if first is None:
        return
    delimiter = max(",;\t", key=first[1].count)
    place = [first[0]]

    def feed() -> Iterator[str]:
        yield first[1]
        for number, line in lines:
            place[0] = number
            yield line

    reader = csv.reader(feed(), delimiter=delimiter, strict=True)
    try:
        for cells in reader:
            if any(cells):
                yield place[0], cells
    except csv.Error as wrong:
        raise DatasetProblem("width_wrong", f"the quoting is broken: {wrong}", row=place[0]) from None


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _heading(cells: Sequence[str], limits: Limits) -> tuple[list[str] | None, int]:
    """(Column names or None when there is no header, place of the label)."""
    if len(cells) > limits.columns + 1:
        raise DatasetProblem("width_too_large", f"{len(cells)} columns; {limits.columns + 1} are the most", row=1)
    if len(cells) < 2:
        raise DatasetProblem("width_wrong", "a row needs a label and one value at least", row=1)
    names = [cell.strip() for cell in cells]
    places = [place for place, name in enumerate(names) if name.lower() == LABEL]
    if len(places) > 1:
        raise DatasetProblem("label_column", "two columns are named label", row=1, column=LABEL)
    if places:
        return names, places[0]
    if all(_is_number(cell) for cell in names[1:]):
        return None, 0
    raise DatasetProblem("label_column", "the header names no column label", row=1, column=LABEL)


class _Collector:
    """Numbers and labels of the rows, with every fault noted."""

    def __init__(self, width: int, label_place: int, names: list[str] | None, limits: Limits) -> None:
        self.problems = RowProblems(limits.problems)
        self.column_names = () if names is None else tuple(names[:label_place] + names[label_place + 1 :])
        self._width = width
        self._label_place = label_place
        self._limits = limits
        self._values: list[np.ndarray] = []
        self._labels: list[str] = []

    def add(self, number: int, cells: list[str]) -> None:
        """Take one row, or note why not."""
        if len(self._values) >= self._limits.rows:
            raise DatasetProblem("rows_too_many", f"more than {self._limits.rows:,} rows", row=number)
        if (len(self._values) + 1) * self._width > self._limits.values:
            raise DatasetProblem("too_large", f"more than {self._limits.values:,} values", row=number)
        if len(cells) != self._width:
            self.problems.add("width_wrong", f"{len(cells)} columns where the first row has {self._width}", number)
            return
        label = cells.pop(self._label_place).strip()
        if not label:
            self.problems.add("label_missing", "the row has no label", number, LABEL)
            return
        values = self._numbers(number, cells)
        if values is not None:
            self._values.append(values)
            self._labels.append(label)

    def _numbers(self, number: int, cells: list[str]) -> np.ndarray | None:
        joined = "".join(cells)
        # float() takes 1_000 and digits of any script; a data file that has them is mistaken.
        if joined.isascii() and "_" not in joined:
            try:
                values = np.array([float(cell) for cell in cells])
            except ValueError:
                values = None
            if values is not None and np.isfinite(values).all():
                return values
        self._note_cells(number, cells)
        return None

    def _note_cells(self, number: int, cells: list[str]) -> None:
        for place, cell in enumerate(cells):
            column = self.column_names[place] if self.column_names else str(place + 1 + (place >= self._label_place))
            shown = cell if len(cell) <= 40 else cell[:40] + "…"
            if not cell.isascii() or "_" in cell or not _is_number(cell):
                self.problems.add("value_not_number", f"{shown!r} is not a number", number, column)
            elif not np.isfinite(float(cell)):
                self.problems.add("value_not_finite", f"{shown!r} is not a finite number", number, column)

    def finish(self) -> tuple[np.ndarray, list[str]]:
        """(values (n, columns), labels). Raises DatasetProblem when any row was faulty or there is none."""
        self.problems.raise_if_any()
        if not self._values:
            raise DatasetProblem("empty", "there is a header and no rows")
        return np.stack(self._values), self._labels
