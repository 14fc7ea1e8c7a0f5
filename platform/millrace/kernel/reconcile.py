"""The checks behind `manage.py reconcile`: each room proves its invariants from the rows themselves.

A check counts what it looked at and names what differs. It changes nothing, runs in the platform's scope, and is
registered by its room's `reconcile.py`, which the room's `apps.ready()` imports.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from millrace.kernel.tenancy import platform_scope

LONGEST_LIST = 50


@dataclass(frozen=True, slots=True)
class Check:
    """The result of one invariant: how many things were checked, and a sentence for each that differs."""

    name: str
    description: str
    checked: int
    differences: list[str] = field(default_factory=list)


_checks: dict[str, Callable[[], Check]] = {}


def check(name: str) -> Callable[[Callable[[], Check]], Callable[[], Check]]:
    """Decorator: run the function as the invariant `name` (R1, R2, …)."""

    def register(run: Callable[[], Check]) -> Callable[[], Check]:
        if name in _checks:
            raise ValueError(f"There are two checks named {name}.")
        _checks[name] = run
        return run

    return register


def names() -> list[str]:
    """The invariants that are registered, in order."""
    return sorted(_checks)


def run_checks(wanted: list[str] | None = None) -> list[Check]:
    """Run the checks (all, or those named) and give their results; an unknown name is a KeyError."""
    with platform_scope(reason="reconciliation looks at all tenants"):
        return [_checks[name]() for name in wanted or names()]
