"""Why a data set was refused: stable codes, and where in the upload the fault is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

CODES: dict[str, str] = {
    "archive_entry_encrypted": "a member of the archive is encrypted",
    "archive_entry_link": "a member of the archive is a symbolic link or a device",
    "archive_entry_name": "a member's name is absolute, climbs out of its folder, or is no name",
    "archive_entry_repeated": "two members have the same name",
    "archive_invalid": "not a zip archive, cut short, or damaged",
    "archive_layout": "pictures must lie in one folder a class",
    "archive_ratio": "the archive unpacks to suspiciously much",
    "archive_too_deep": "folders are nested too deep",
    "archive_too_many": "the archive has too many members",
    "builtin_unavailable": "the package that carries the data set is not installed",
    "builtin_unknown": "there is no built-in data set of that name",
    "class_name_invalid": "a class name is empty or too long",
    "classes_too_few": "fewer than two classes",
    "classes_too_many": "more classes than allowed",
    "encoding_utf16": "the text is UTF-16; save it as UTF-8",
    "encoding_invalid": "the text is not UTF-8",
    "empty": "there are no rows",
    "format_unknown": "the format is not one of those understood",
    "image_invalid": "not a picture that can be read, or cut short",
    "image_shape": "the pictures differ in size or in colour",
    "image_too_large": "a picture has more pixels than allowed",
    "json_invalid": "a line is not a JSON object",
    "json_too_deep": "JSON is nested too deep",
    "label_column": "the label column is missing or ambiguous",
    "label_missing": "a row has no label",
    "label_invalid": "a label is neither a text nor a whole number",
    "layout_unsuitable": "the values do not fit the layout asked for",
    "rows_too_few": "fewer rows than a held-out part needs",
    "rows_too_many": "more rows than allowed",
    "too_large": "the upload, or what it unpacks to, is larger than allowed",
    "value_not_finite": "a value is not a number, or infinite",
    "value_not_number": "a value is not a number",
    "value_out_of_range": "a value lies outside the range of its kind",
    "width_too_large": "more columns than allowed",
    "width_wrong": "a row has another number of values than the first",
}


@dataclass(frozen=True)
class RowProblem:
    """One fault in one row. Rows count from 1, the header being row 1 where there is one; columns by name or place."""

    code: str
    message: str
    row: int | None = None
    column: str | None = None

    def as_json(self) -> dict[str, Any]:
        """For the API's list of problems."""
        return {"code": self.code, "message": self.message, "row": self.row, "column": self.column}


class DatasetProblem(Exception):
    """The upload cannot become a data set. Nothing of it is kept.

    `code` is one of CODES. `problems` lists the first faults of the rows (the first of them is the exception's own) and
    `problem_count` says how many there were in all before reading stopped.
    """

    def __init__(
        self,
        code: str,
        detail: str,
        row: int | None = None,
        column: str | None = None,
        *,
        problems: Sequence[RowProblem] = (),
        problem_count: int | None = None,
    ) -> None:
        if code not in CODES:
            raise ValueError(f"{code!r} is not a code of mlops.datasets.problems")
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail
        self.row = row
        self.column = column
        self.problems = tuple(problems) or (RowProblem(code, detail, row, column),)
        self.problem_count = problem_count if problem_count is not None else len(self.problems)

    @classmethod
    def of_rows(cls, problems: Sequence[RowProblem], count: int) -> DatasetProblem:
        """One exception for many faulty rows; the first names it."""
        first = problems[0]
        more = f" ({count - 1} more)" if count > 1 else ""
        return cls(first.code, first.message + more, first.row, first.column, problems=problems, problem_count=count)


class RowProblems:
    """Collects faults of rows up to a limit, so that one bad upload is told whole and cannot flood."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kept: list[RowProblem] = []
        self._count = 0

    def add(self, code: str, message: str, row: int | None = None, column: str | None = None) -> None:
        """Note a fault."""
        self._count += 1
        if len(self._kept) < self._limit:
            self._kept.append(RowProblem(code, message, row, column))

    @property
    def full(self) -> bool:
        """Whether there is no point in reading on."""
        return len(self._kept) >= self._limit

    def raise_if_any(self) -> None:
        """Raise DatasetProblem when a fault was noted."""
        if self._kept:
            raise DatasetProblem.of_rows(self._kept, self._count)
