"""Uploads become data sets here: read with limits, checked whole, stored under the hash of their content.

No torch and no Django: NumPy and Pillow only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO

from mlops.datasets.archive import parse_image_zip
from mlops.datasets.assemble import LAYOUTS
from mlops.datasets.builtin import BUILTINS, load_builtin
from mlops.datasets.canonical import CanonicalInvalid
from mlops.datasets.csv_rows import parse_csv
from mlops.datasets.json_rows import parse_json_lines
from mlops.datasets.limits import DEFAULT_LIMITS, Limits
from mlops.datasets.parsed import ParsedDataset
from mlops.datasets.problems import CODES, DatasetProblem, RowProblem

FORMATS: dict[str, Callable[..., ParsedDataset]] = {
    "csv": parse_csv,
    "jsonl": parse_json_lines,
    "image-zip": parse_image_zip,
}

__all__ = [
    "BUILTINS",
    "CODES",
    "DEFAULT_LIMITS",
    "FORMATS",
    "LAYOUTS",
    "CanonicalInvalid",
    "DatasetProblem",
    "Limits",
    "ParsedDataset",
    "RowProblem",
    "load_builtin",
    "parse_upload",
]


def parse_upload(
    source: BinaryIO, *, format: str, layout: str = "auto", limits: Limits = DEFAULT_LIMITS
) -> ParsedDataset:
    """Read an upload from an open binary file. `format` is one of FORMATS, `layout` one of LAYOUTS.

    Raises DatasetProblem, always: never another exception for what the file contains, and never half a data set.
    """
    if format not in FORMATS:
        raise DatasetProblem("format_unknown", f"{format!r} is not one of {', '.join(FORMATS)}")
    if layout not in LAYOUTS:
        raise DatasetProblem("layout_unsuitable", f"{layout!r} is not one of {', '.join(LAYOUTS)}")
    return FORMATS[format](source, limits=limits, layout=layout)
