"""Faults on purpose. Every decision is a function of the seed and of what it is about, never of when it is asked.

So two runs with the same seed misbehave alike, whatever the threads do.
"""

import random
from dataclasses import asdict, dataclass, fields
from typing import Any


@dataclass(frozen=True)
class Chaos:
    """How often (0..1) each fault happens. All zero: the sandbox behaves."""

    seed: int = 0
    double: float = 0.0  # an event is delivered twice
    delay: float = 0.0  # an event waits `delay_seconds` at most before its first delivery
    delay_seconds: float = 1.0
    reorder: float = 0.0  # an event lets up to `reorder_window` later ones overtake it
    reorder_window: int = 8
    fail: float = 0.0  # a delivery counts as failed: half of these never reach the endpoint, half do
    api_500: float = 0.0  # a POST does its work and answers 500; the same key replays that 500
    api_lost: float = 0.0  # a POST does its work and its answer is lost (500); the same key then gets the true answer

    @classmethod
    def parse(cls, values: dict[str, Any]) -> "Chaos":
        """From a JSON object; raises ValueError for an unknown name or a rate outside 0..1."""
        known = {field.name: field.type for field in fields(cls)}
        clean: dict[str, Any] = {}
        for name, value in values.items():
            if name not in known:
                raise ValueError(f"unknown chaos setting {name!r}; known: {', '.join(known)}")
            number = int(value) if known[name] in (int, "int") else float(value)
            if name not in ("seed", "delay_seconds", "reorder_window") and not 0 <= number <= 1:
                raise ValueError(f"{name} must be between 0 and 1")
            clean[name] = number
        return cls(**clean)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def draw(self, fault: str, about: str) -> float:
        """A number in [0, 1) that belongs to this seed, this fault and this thing."""
        return random.Random(f"{self.seed}:{fault}:{about}").random()  # noqa: S311 - repeatable on purpose

    def strikes(self, fault: str, about: str) -> bool:
        rate = getattr(self, fault)
        return bool(rate) and self.draw(fault, about) < rate
