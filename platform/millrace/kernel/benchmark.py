"""One row of `manage.py bench`: what we do in a second, beside what the best alternative does on the same machine.

A room's `bench.py` offers `rows() -> list[Row]`. Turns of the two alternate, so that a busy machine slows both; the
figures are medians.
"""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Row:
    """A side-by-side figure. `ratio` above `target` is as good as promised; `unit` is of both figures."""

    name: str
    ours: float
    theirs: float
    unit: str
    beside: str
    target: float
    note: str = ""
    turns: dict[str, list[float]] = field(default_factory=dict)

    @property
    def ratio(self) -> float:
        """Ours divided by theirs."""
        return self.ours / self.theirs
