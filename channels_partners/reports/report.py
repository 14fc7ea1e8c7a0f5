"""The shape of every report."""

from dataclasses import dataclass, field
from fractions import Fraction

from channels_partners.measures import DEFINITIONS, as_decimal
from channels_partners.reports.params import Params


@dataclass(frozen=True, slots=True)
class Column:
    """A figure of a report. Kinds: text, count, money (minor units of the row's currency), share (0.3 is 30 %),
    points, address. `formula` is its definition in words."""

    name: str
    kind: str
    formula: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """A report's rows, each with a `drill` address of the rows that it is made of, and the definitions it used."""

    name: str
    params: Params
    columns: tuple[Column, ...]
    rows: list[dict]
    notes: tuple[str, ...] = field(default=())

    def as_json(self) -> dict:
        """The API's answer."""
        return {
            "report": self.name,
            "definitions": DEFINITIONS,
            "from": self.params.start,
            "to": self.params.end,
            "by": self.params.by,
            "currency": self.params.currency or None,
            "columns": [{"name": one.name, "kind": one.kind, "formula": one.formula} for one in self.columns],
            "notes": list(self.notes),
            "rows": self.rows,
        }


def drill(name: str, params: Params, key: str, **more: str) -> str:
    """The address of the rows that a line is made of."""
    return f"/v1/ops/reports/{name}/rows?{params.query(key=key, **more)}"


def shown(value: Fraction | None) -> object:
    """A share or an average as a report shows it."""
    return as_decimal(value)
