"""Time. Business time can be moved in development and tests; boot time measures work; leases use the database's clock.

`now()` is what invoices, clicks and reports are stamped with. It is the machine's UTC time plus an offset that the
demo and tests may set, shared between processes over Valkey. Durations never come from it: `boot_ms()` does that.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from pathlib import Path

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

_OFFSET_KEY = "millrace:clock:offset_us"
_CACHE_SECONDS = 0.1
_frozen: ContextVar[datetime | None] = ContextVar("millrace_frozen_clock", default=None)
_cached_offset: tuple[float, timedelta] = (-1.0, timedelta(0))


def now() -> datetime:
    """The business time, aware, UTC."""
    frozen_at = _frozen.get()
    if frozen_at is not None:
        return frozen_at
    return datetime.now(UTC) + _offset()


@contextmanager
def frozen(at: datetime) -> Iterator[None]:
    """Within the block, in this context only, `now()` answers `at`."""
    if at.tzinfo is None:
        raise ValueError("A frozen clock needs an aware time.")
    token = _frozen.set(at.astimezone(UTC))
    try:
        yield
    finally:
        _frozen.reset(token)


def travel_to(at: datetime) -> None:
    """Move the business clock of every process to `at`; it ticks on from there."""
    _set_offset(at.astimezone(UTC) - datetime.now(UTC))


def travel_back() -> None:
    """Return to the machine's own time."""
    _set_offset(timedelta(0))


def boot_ms() -> int:
    """Milliseconds since this machine booted, sleep included; never steps, comparable within one boot only."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000


def boot_id() -> str:
    """The identity of this machine's current boot, which `boot_ms` readings belong to."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _offset() -> timedelta:
    global _cached_offset
    if not settings.CLOCK_MOVABLE:
        return timedelta(0)
    read_at, offset = _cached_offset
    if time.monotonic() - read_at < _CACHE_SECONDS:
        return offset
    from millrace.kernel import valkey

    offset = timedelta(microseconds=int(valkey.client().get(_OFFSET_KEY) or 0))
    _cached_offset = (time.monotonic(), offset)
    return offset


def _set_offset(offset: timedelta) -> None:
    global _cached_offset
    if not settings.CLOCK_MOVABLE:
        raise ImproperlyConfigured("The business clock cannot be moved here.")
    from millrace.kernel import valkey

    valkey.client().set(_OFFSET_KEY, int(offset / timedelta(microseconds=1)))
    _cached_offset = (time.monotonic(), offset)
