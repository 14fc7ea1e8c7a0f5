"""The table of calls: which method and path is which function, with which parameters."""

from collections.abc import Callable
from typing import Any, NamedTuple

Handler = Callable[..., dict[str, Any]]


class Call(NamedTuple):
    """One API call: `params` names the SDK's TypedDict that says what it accepts."""

    method: str
    segments: tuple[str, ...]
    params: str
    handler: Handler


_CALLS: dict[tuple[str, int], list[Call]] = {}


def call(method: str, path: str, params: str) -> Callable[[Handler], Handler]:
    """Registers `function(sandbox, params, *ids)` for a path under /v1/, e.g. `invoices/{id}/pay`."""
    segments = tuple("" if part.startswith("{") else part for part in path.split("/"))

    def register(function: Handler) -> Handler:
        bucket = _CALLS.setdefault((method, len(segments)), [])
        bucket.append(Call(method, segments, params, function))
        # Literal paths win over ids: `credit_notes/preview` before `credit_notes/{id}`.
        bucket.sort(key=lambda entry: sum(not segment for segment in entry.segments))
        return function

    return register


def find(method: str, path: str) -> tuple[Call, list[str]] | None:
    """The call for a path (without /v1/) and the ids in it, or None."""
    parts = path.split("/")
    for entry in _CALLS.get((method, len(parts)), ()):
        if all(not segment or segment == part for segment, part in zip(entry.segments, parts, strict=True)):
            return entry, [part for segment, part in zip(entry.segments, parts, strict=True) if not segment]
    return None


def calls() -> list[Call]:
    """Every registered call."""
    return [entry for bucket in _CALLS.values() for entry in bucket]
