"""Charts as geometry; the templates under portal/components draw them as SVG that takes its colours from the tokens.

A small component of our own: what the libraries make carries inline styles, scripts or fixed colours, none of which
a strict content security policy or a dark page can use (deploy/decisions.md).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import pairwise
from math import floor, log10

from millrace.kernel.money import exponent

WIDTH, HEIGHT = 560, 220
LEFT, RIGHT, TOP, BOTTOM = 56, 76, 12, 26
_TICKS = 4
_NAME_LINE = 14
# Room beside the plot for the series' names: so wide is a letter of theirs, and so many are shown.
_LETTER, _LONGEST_NAME = 7.2, 26
Number = int | float | Decimal


@dataclass(frozen=True, slots=True)
class Series:
    """A named row of values, one for each label of its chart; None is a gap."""

    name: str
    values: Sequence[Number | None]


@dataclass(slots=True)
class Chart:
    """What a chart's template draws, and the table that stands beside it."""

    kind: str
    title: str
    description: str
    labels: list[str]
    series: list[Series]
    label_heading: str
    ticks: list[dict] = field(default_factory=list)
    marks: list[dict] = field(default_factory=list)
    label_ticks: list[dict] = field(default_factory=list)
    names: list[dict] = field(default_factory=list)
    format: Callable[[Number], str] = str
    # A currency, where the values are its minor units: the axis then counts major ones.
    unit: str = ""
    width: int = WIDTH
    height: int = HEIGHT

    @property
    def rows(self) -> list[dict]:
        """The table: a label and every series' value as text."""
        return [
            {"label": label, "values": [_text(one.values[index], self.format) for one in self.series]}
            for index, label in enumerate(self.labels)
        ]

    @property
    def box(self) -> str:
        """The SVG's viewBox."""
        return f"0 0 {self.width} {self.height}"

    @property
    def base(self) -> int:
        """The y of the horizontal axis."""
        return self.height - BOTTOM

    @property
    def right(self) -> int:
        """The x at which the plot ends: the names of the series stand beside it."""
        longest = max((len(_shortened(one.name)) for one in self.series), default=0) if len(self.series) > 1 else 0
        return self.width - max(RIGHT, 14 + round(_LETTER * longest))

    left = LEFT


def columns(
    title: str, labels: Sequence[str], series: Sequence[Series], *, heading: str = "Day", text: Callable = str,
    description: str = "", unit: str = "",
) -> Chart:  # fmt: skip
    """Stacked columns over labels, from zero; for amounts that add up. Negative values are refused."""
    chart = _chart("columns", title, labels, series, heading, text, description)
    chart.unit = unit
    totals = [sum((one.values[i] or 0 for one in series), start=0) for i in range(len(labels))]
    if any((value or 0) < 0 for one in series for value in one.values):
        raise ValueError("Stacked columns take no negative values.")
    top = _scale(chart, 0, float(max(totals, default=0)))
    step = (chart.right - LEFT) / max(len(labels), 1)
    width = min(max(step * 0.72, 1.0), 40.0)
    for index in range(len(labels)):
        x, y = LEFT + step * index + (step - width) / 2, float(chart.base)
        for number, one in enumerate(series, start=1):
            height = float(one.values[index] or 0) / top * (chart.base - TOP)
            if height:
                y -= height
                chart.marks.append(
                    {"x": _f(x), "y": _f(y), "width": _f(width), "height": _f(height), "colour": (number - 1) % 6 + 1,
                     "hint": f"{labels[index]}, {one.name}: {text(one.values[index])}"}
                )  # fmt: skip
    _label_axis(chart, [LEFT + step * (index + 0.5) for index in range(len(labels))])
    _names_in_order(chart)
    return chart


def lines(
    title: str, labels: Sequence[str], series: Sequence[Series], *, heading: str = "Step", text: Callable = str,
    description: str = "", from_zero: bool = False, unit: str = "",
) -> Chart:  # fmt: skip
    """Lines over labels, each named at its end."""
    chart = _chart("lines", title, labels, series, heading, text, description)
    chart.unit = unit
    known = [float(value) for one in series for value in one.values if value is not None]
    low = 0.0 if from_zero or not known else min(0.0, min(known))
    high = max(known, default=1.0)
    top = _scale(chart, low, high)
    step = (chart.right - LEFT) / max(len(labels) - 1, 1)
    for number, one in enumerate(series, start=1):
        points = [
            (LEFT + step * index, chart.base - (float(value) - low) / (top - low) * (chart.base - TOP))
            for index, value in enumerate(one.values)
            if value is not None
        ]
        if not points:
            continue
        colour = (number - 1) % 6 + 1
        chart.marks.append({"points": " ".join(f"{_f(x)},{_f(y)}" for x, y in points), "colour": colour})
        chart.names.append(
            {"name": _shortened(one.name), "x": _f(points[-1][0] + 6), "y": points[-1][1] + 4, "colour": colour}
        )
    _keep_apart(chart.names, lowest=chart.base + 4)
    _label_axis(chart, [LEFT + step * index for index in range(len(labels))])
    return chart


def spark(values: Sequence[Number | None]) -> str:
    """A sparkline's points in a box of 96 by 20."""
    known = [float(value) for value in values if value is not None]
    if len(known) < 2:
        return ""
    low, high = min(known), max(known)
    spread = (high - low) or 1.0
    step = 96 / (len(known) - 1)
    return " ".join(f"{_f(step * i)},{_f(18 - (value - low) / spread * 16)}" for i, value in enumerate(known))


def _chart(
    kind: str,
    title: str,
    labels: Sequence[str],
    series: Sequence[Series],
    heading: str,
    text: Callable,
    description: str,
) -> Chart:
    if any(len(one.values) != len(labels) for one in series):
        raise ValueError("Every series has one value for each label.")
    if not description:
        description = (
            f"{', '.join(one.name for one in series)} by {heading.lower()}; the table beside it has the values."
        )
    return Chart(kind, title, description, [str(label) for label in labels], list(series), heading, format=text)


def _scale(chart: Chart, low: float, high: float) -> float:
    """Draw round ticks from `low` to at least `high`; answers the topmost."""
    spread = (high - low) or 1.0
    magnitude = 10.0 ** floor(log10(spread / _TICKS))
    step = next(magnitude * factor for factor in (1, 2, 2.5, 5, 10) if magnitude * factor * _TICKS >= spread)
    top = low + step * _TICKS
    minor = 10 ** exponent(chart.unit) if chart.unit else 1
    for index in range(_TICKS + 1):
        value = low + step * index
        y = chart.base - index / _TICKS * (chart.base - TOP)
        chart.ticks.append({"y": _f(y), "text_y": _f(y + 4), "text": _short(value / minor)})
    return top


def _label_axis(chart: Chart, places: Sequence[float]) -> None:
    every = max(1, -(-len(places) // 6))
    for index, x in enumerate(places):
        if index % every == 0:
            chart.label_ticks.append({"x": _f(x), "text": chart.labels[index]})


def _names_in_order(chart: Chart) -> None:
    if len(chart.series) < 2:
        return
    for number, one in enumerate(chart.series, start=1):
        chart.names.append(
            {"name": _shortened(one.name), "x": chart.right + 8, "y": TOP + 18 * number, "colour": (number - 1) % 6 + 1}
        )


def _keep_apart(names: list[dict], *, lowest: float) -> None:
    """A line's height between any two, and all of them above the labels of the axis."""
    names.sort(key=lambda name: name["y"])
    for above, below in pairwise(names):
        below["y"] = max(below["y"], above["y"] + _NAME_LINE)
    for name in reversed(names):
        name["y"] = min(name["y"], lowest)
        lowest = name["y"] - _NAME_LINE
    for name in names:
        name["y"] = _f(name["y"])


def _shortened(name: str) -> str:
    """A series' name as it stands in the drawing; the table has all of it."""
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1].rstrip()}…"


def _short(value: float) -> str:
    for limit, letter in ((1e9, "bn"), (1e6, "m"), (1e3, "k")):
        if abs(value) >= limit:
            return f"{value / limit:g}{letter}"
    return f"{value:.4g}"


def _text(value: Number | None, text: Callable[[Number], str]) -> str:
    return "–" if value is None else text(value)


def _f(value: float) -> str:
    return f"{value:.1f}"
