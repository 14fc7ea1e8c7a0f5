"""The chart component: its geometry, its words, and the table beside it."""

from itertools import pairwise
from xml.etree import ElementTree

import pytest
from django.template import Context, Template

from millrace.portal.charts import LEFT, Series, columns, lines, spark


def drawn(chart: object) -> str:
    return Template("{% load portal %}{% chart chart %}").render(Context({"chart": chart}))


def test_long_names_have_their_room_and_the_longest_are_cut() -> None:
    short = columns("Revenue", ["Jan"], [Series("a", [1]), Series("b", [2])])
    long = columns("Revenue", ["Jan"], [Series("Sensor and controller makers", [1]), Series("Direct sales", [2])])

    assert short.right > long.right > LEFT + 200
    assert [name["name"] for name in long.names] == ["Sensor and controller mak…", "Direct sales"]
    assert "Sensor and controller makers" in drawn(long)


def test_columns_are_as_high_as_their_share() -> None:
    chart = columns("Cost by day", ["1", "2"], [Series("gpu", [50, 100])])

    low, high = (float(mark["height"]) for mark in chart.marks)
    assert high == pytest.approx(2 * low, abs=0.2)
    assert chart.ticks[0]["text"] == "0"


def test_stacked_columns_stand_on_each_other() -> None:
    chart = columns("Cost", ["1"], [Series("a", [1]), Series("b", [3])])

    below, above = chart.marks
    assert float(above["y"]) + float(above["height"]) == pytest.approx(float(below["y"]), abs=0.2)


def test_negative_columns_are_refused() -> None:
    with pytest.raises(ValueError, match="negative"):
        columns("Cost", ["1"], [Series("a", [-1])])


def test_series_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="one value for each label"):
        lines("Loss", ["1", "2"], [Series("a", [1])])


def test_line_leaves_gaps_out() -> None:
    chart = lines("Loss", ["1", "2", "3"], [Series("train", [0.9, None, 0.1])])

    assert len(chart.marks[0]["points"].split()) == 2
    assert chart.rows[1]["values"] == ["–"]


def test_names_of_lines_that_end_together_stand_apart_and_above_the_axis() -> None:
    chart = lines("People", ["1", "2"], [Series(name, [5, 0]) for name in ("all", "paying", "new")])

    heights = sorted(float(name["y"]) for name in chart.names)
    assert heights[-1] <= chart.base + 4
    assert all(below - above >= 14 for above, below in pairwise(heights))


def test_empty_chart_draws_an_empty_frame() -> None:
    assert lines("Loss", [], [Series("train", [])]).marks == []
    assert columns("Cost", [], []).marks == []


@pytest.mark.parametrize("chart", [
    columns("Cost <by> day", ["1 & 2", "3"], [Series("a", [1, 2]), Series("b", [0, 4])]),
    lines("Loss", ["1", "2"], [Series("train", [2.0, 1.0]), Series("held out", [2.1, 1.4])]),
])  # fmt: skip
def test_chart_is_described_and_tabled(chart: object) -> None:
    html = drawn(chart)

    svg = ElementTree.fromstring(html[html.index("<svg") : html.index("</svg>") + 6])  # noqa: S314 - our own
    assert svg.find("title") is not None
    assert svg.find("desc").text  # type: ignore[union-attr]
    assert "<table" in html
    assert html.count("<tr>") == 3
    assert "style=" not in html


def test_sparkline_needs_two_points() -> None:
    assert spark([1]) == ""
    assert len(spark([1, 2, None, 3]).split()) == 3
