"""Reports as tables for spreadsheets, and as CSV that is safe to open in one."""

import csv
import io
from collections.abc import Sequence

from channels_partners.measures import DEFINITIONS
from channels_partners.reports.report import Report

# A cell that begins like this is run as a formula by spreadsheets; a quote in front makes it text.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "|")


Table = list[Sequence[object]]


def table_of(report: Report) -> Table:
    """The report under a heading that names the definitions and the period. Money is in minor units."""
    names = [column.name for column in report.columns]
    return [
        ["report", report.name, "definitions", DEFINITIONS],
        ["from", report.params.start.isoformat(), "to", report.params.end.isoformat()],
        names,
        *([row[name] for name in names] for row in report.rows),
    ]


def table_of_rows(rows: Sequence[dict]) -> Table:
    """Drilled rows under their names."""
    return [list(rows[0]), *(list(row.values()) for row in rows)] if rows else []


def as_csv(table: Table) -> str:
    """The table as comma-separated values."""
    out = io.StringIO()
    csv.writer(out).writerows([cell(value) for value in row] for row in table)
    return out.getvalue()


def cell(value: object) -> object:
    """A value for a spreadsheet: figures as they are, text that would be a formula made harmless."""
    if value is None or isinstance(value, int):
        return value
    text = str(value)
    if isinstance(value, str) and text.startswith(_FORMULA):
        return f"'{text}"
    return text
