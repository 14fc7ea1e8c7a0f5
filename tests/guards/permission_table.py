"""The one table of (method, address, permission), put together from each room's `tests/<room>/permissions.py`.

A room writes `ROWS = [Row("GET", "/v1/jobs/{job_id}", "jobs.read", objects=…), …]`. The permission is a name of
`accounts.roles`, or one of: `public`, `logged_in` (any person or key), `ops.read` (staff), `signed` (a machine that
proves itself in another way, such as Stripe's signature). `objects` makes the row's things in the given tenant and
answers with their public ids by parameter, so that the walk can show that strangers do not find them.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from django.urls import URLPattern, URLResolver, get_resolver

from accounts.models import Tenant

ROOMS = Path(__file__).resolve().parents[1]
SPECIAL = frozenset({"public", "logged_in", "ops.read", "signed"})
# Addresses of third parties' own views, which have their own tests: allauth's pages and doors.
THIRD_PARTY = ("/accounts/", "/_allauth/", "/static/")
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


@dataclass(frozen=True)
class Row:
    """What one method of one address asks of its caller."""

    method: str
    path: str
    permission: str
    objects: Callable[[Tenant], dict[str, str]] | None = field(default=None, compare=False)
    body: Any = field(default=None, compare=False)

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


def rows() -> list[Row]:
    """All rooms' rows, by address."""
    found: list[Row] = []
    for path in sorted(ROOMS.glob("*/permissions.py")):
        room = import_module(f"tests.{path.parent.name}.permissions")
        found += [row if isinstance(row, Row) else Row(*row) for row in room.ROWS]
    return sorted(found, key=lambda row: (row.path, row.method))


@dataclass(frozen=True)
class Address:
    """One method of one address as the resolver knows it; `permission` only where the view is the API's, and
    `method` only where the view's class tells its methods."""

    method: str
    path: str
    permission: str


def addresses() -> list[Address]:
    """Everything that the resolver answers, third parties' views left out."""
    return [
        address
        for pattern, prefix in _flat(get_resolver().url_patterns, "/")
        if not (path := _readable(prefix)).startswith(THIRD_PARTY)
        for address in _methods(pattern, path)
    ]


def _flat(patterns: list, prefix: str) -> Iterator[tuple[URLPattern, str]]:
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            yield from _flat(pattern.url_patterns, prefix + str(pattern.pattern))
        else:
            yield pattern, prefix + str(pattern.pattern)


def _readable(pattern: str) -> str:
    """`/v1/jobs/<str:job_id>` as `/v1/jobs/{job_id}`."""
    parts = pattern.replace("<", "{").replace(">", "}").split("{")
    return parts[0] + "".join("{" + part.split(":", 1)[-1] for part in parts[1:])


def _methods(pattern: URLPattern, path: str) -> Iterator[Address]:
    view = getattr(pattern.callback, "cls", None) or getattr(pattern.callback, "view_class", None)
    if view is None:
        yield Address("", path, "")
        return
    permission = getattr(view, "permission", {})
    for method in METHODS:
        if hasattr(view, method.lower()):
            yield Address(method, path, permission.get(method, ""))
