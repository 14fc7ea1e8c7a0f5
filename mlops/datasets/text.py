"""Lines of an upload, bounded and decoded; shared by the readers of CSV and JSON Lines."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from mlops.datasets.limits import Limits
from mlops.datasets.problems import DatasetProblem

_WIDE_MARKS = (b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")
_UTF8_MARK = b"\xef\xbb\xbf"


def text_lines(source: BinaryIO, limits: Limits) -> Iterator[tuple[int, str]]:
    """Pairs of (line number from 1, line with its end), read one at a time.

    Raises DatasetProblem `encoding_utf16`, `encoding_invalid`, `too_large`.
    """
    read = 0
    number = 0
    while line := source.readline(limits.line_bytes + 1):
        number += 1
        read += len(line)
        if read > limits.upload_bytes:
            raise DatasetProblem("too_large", f"more than {limits.upload_bytes:,} bytes")
        if number == 1:
            line = _checked_start(line)
        if len(line) > limits.line_bytes:
            raise DatasetProblem("too_large", f"the line is longer than {limits.line_bytes:,} bytes", row=number)
        try:
            yield number, line.decode("utf-8")
        except UnicodeDecodeError as wrong:
            detail = f"byte {wrong.start + 1} of the line is not UTF-8"
            raise DatasetProblem("encoding_invalid", detail, row=number) from None


def _checked_start(line: bytes) -> bytes:
    """The first line without UTF-8's mark. UTF-16 without a mark shows as NULs in every other byte."""
    head = line[:200]
    if line.startswith(_WIDE_MARKS) or (len(head) >= 4 and head.count(0) * 3 >= len(head)):
        raise DatasetProblem("encoding_utf16", "the file is UTF-16 or UTF-32: save it as UTF-8", row=1)
    return line.removeprefix(_UTF8_MARK)
