"""Wakes the devices of this worker process; in a process without devices it wakes nobody."""

import threading

_bell = threading.Condition()
_rings = 0


def ring() -> None:
    """There may be work."""
    global _rings
    with _bell:
        _rings += 1
        _bell.notify_all()


def wait(seen: int, seconds: float) -> int:
    """Sleep until somebody rings after `seen`, or for that long; returns the count of rings so far."""
    with _bell:
        _bell.wait_for(lambda: _rings != seen, timeout=seconds)
        return _rings
