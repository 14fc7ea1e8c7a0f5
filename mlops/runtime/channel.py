"""The pipe from a job's process to its supervisor: a JSON object a line, `{"kind": …, "data": {…}}`. No torch."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from typing import Any

MAX_LINE = 1024 * 1024
CHILD_KINDS = ("started", "progress", "metric", "checkpoint", "log", "result", "error", "canceled")


class ProtocolInvalid(Exception):
    """The child wrote something that is no event."""


def plain(value: Any) -> Any:
    """JSON that any database takes: no NaN or infinity (null instead), no NUL in texts."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, str):
        return value.replace("\0", "")
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


class EventWriter:
    """The child's end. A write blocks while the supervisor is behind, and raises BrokenPipeError when it is gone."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def send(self, kind: str, **data: Any) -> None:
        """Write one event, whole. Raises ValueError for one that is longer than MAX_LINE."""
        line = json.dumps({"kind": kind, "data": plain(data)}, separators=(",", ":"), allow_nan=False).encode() + b"\n"
        if len(line) > MAX_LINE:
            raise ValueError(f"a {kind} event of {len(line)} bytes is too long")
        view = memoryview(line)
        while view:
            view = view[os.write(self._descriptor, view) :]


class EventReader:
    """The supervisor's end: bytes in, events out; an unfinished last line is kept for later."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, block: bytes) -> list[tuple[str, dict[str, Any]]]:
        """Events completed by `block`, in order. Raises ProtocolInvalid."""
        *lines, self._rest = (self._rest + block).split(b"\n")
        if len(self._rest) > MAX_LINE:
            raise ProtocolInvalid("an event is too long")
        return [_event(line) for line in lines]


def _event(line: bytes) -> tuple[str, dict[str, Any]]:
    try:
        value = json.loads(line)
        kind, data = value["kind"], value["data"]
    except (ValueError, KeyError, TypeError, RecursionError) as wrong:
        raise ProtocolInvalid(f"not an event: {line[:80]!r}") from wrong
    if kind not in CHILD_KINDS or not isinstance(data, dict):
        raise ProtocolInvalid(f"not an event: {line[:80]!r}")
    return kind, data


class BoundedLog:
    """Output of a process, its start and its end kept and the middle dropped."""

    def __init__(self, limit: int) -> None:
        self._half = max(1, limit // 2)
        self._head = b""
        self._tail = b""
        self._dropped = 0

    def add(self, block: bytes) -> bytes:
        """Take a block; returns the part of it that belongs to the head and may be shown as it comes."""
        room = self._half - len(self._head)
        shown, rest = block[:room], block[room:]
        self._head += shown
        tail = self._tail + rest
        self._dropped += max(0, len(tail) - self._half)
        self._tail = tail[-self._half :]
        return shown

    def text(self) -> str:
        """All that was kept; says how many bytes were not."""
        gap = f"\n… {self._dropped} bytes left out …\n".encode() if self._dropped else b""
        return (self._head + gap + self._tail).decode("utf-8", errors="replace").replace("\0", "")
