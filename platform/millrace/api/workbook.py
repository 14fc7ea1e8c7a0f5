"""A table as a workbook for spreadsheets: one sheet, its cells figures or plain text, never formulas."""

import io
from collections.abc import Iterable, Sequence
from decimal import Decimal

import xlsxwriter

CONTENT_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
# Spreadsheets reckon in binary floating point: a longer figure is exact as text only.
_LONGEST_EXACT = 10**15


def workbook(rows: Iterable[Sequence[object]]) -> bytes:
    """The file's content, one row of cells for each of `rows`; None is an empty cell."""
    out = io.BytesIO()
    with xlsxwriter.Workbook(out, {"in_memory": True}) as book:
        sheet = book.add_worksheet("Report")
        for down, row in enumerate(rows):
            for across, value in enumerate(row):
                if _is_figure(value):
                    sheet.write_number(down, across, value)
                elif value is not None:
                    sheet.write_string(down, across, str(value))
    return out.getvalue()


def _is_figure(value: object) -> bool:
    is_number = isinstance(value, (int, float, Decimal)) and not isinstance(value, bool)
    return is_number and abs(Decimal(str(value))) < _LONGEST_EXACT
