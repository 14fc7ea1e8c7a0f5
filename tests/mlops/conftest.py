"""Fixtures of this room."""

from tests.mlops.programs import start, start_worker

__all__ = ["start", "start_worker"]
