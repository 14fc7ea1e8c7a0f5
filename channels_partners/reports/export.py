"""Reports as CSV, safe to open in a spreadsheet."""

import csv
import io
from collections.abc import Sequence

from channels_partners.measures import DEFINITIONS
from channels_partners.reports.report import Report

# A cell that begins like this is run as a formula by spreadsheets; a quote in front makes it text.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "|")


def as_csv(report: Report) -> str:
    """The report with a heading that names the definitions and the period. Money is in minor units."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(["report", report.name, "definitions", DEFINITIONS])
    writer.writerow(["from", report.params.start.isoformat(), "to", report.params.end.isoformat()])
    names = [column.name for column in report.columns]
    writer.writerow(names)
    for row in report.rows:
        writer.writerow([cell(row[name]) for name in names])
    return out.getvalue()


def rows_as_csv(rows: Sequence[dict]) -> str:
    """Drilled rows as CSV."""
    out = io.StringIO()
    if rows:
        writer = csv.writer(out)
        writer.writerow(rows[0])
        for row in rows:
            writer.writerow([cell(value) for value in row.values()])
    return out.getvalue()


def cell(value: object) -> object:
    """A value for a spreadsheet: figures as they are, text that would be a formula made harmless."""
    if value is None or isinstance(value, int):
        return value
    text = str(value)
    if isinstance(value, str) and text.startswith(_FORMULA):
        return f"'{text}"
    return text
