"""The filters: figures with their unit, times with their zone."""

from datetime import UTC, datetime

import pytest
from django.template import Context, Template

from millrace.kernel.money import Money
from millrace.portal import meters
from millrace.portal.templatetags import portal as words


def plain(html: str) -> str:
    """Without tags."""
    return Template("{{ html|striptags }}").render(Context({"html": html}))


@pytest.mark.parametrize(("amount", "currency", "shown"), [
    (123456, "CNY", "CNY 1,234.56"), (-5, "USD", "USD −0.05"), (1000, "JPY", "JPY 1,000"), (1234, "KWD", "KWD 1.234"),
    (None, "CNY", "–"), (Money(100, "EUR"), "", "EUR 1.00"), ({"amount": 100, "currency": "EUR"}, "", "EUR 1.00"),
])  # fmt: skip
def test_money(amount: object, currency: str, shown: str) -> None:
    assert plain(words.money(amount, currency)) == shown


@pytest.mark.parametrize(("value", "meter", "shown"), [
    (412870, "gpu_ms:h100", "412,870 ms"), (7, "predictions", "7 predictions"), (-1500, "own:scans", "−1,500"),
    (None, "gpu_ms", "–"),
])  # fmt: skip
def test_quantity(value: object, meter: str, shown: str) -> None:
    assert plain(words.quantity(value, meter)) == shown


@pytest.mark.parametrize(("meter", "shown"), [
    ("gpu_ms:h100", "GPU time, h100"), ("cpu_ms", "CPU time"), ("own:scans", "scans"), ("own:*", "Your own meters"),
])  # fmt: skip
def test_meters_are_called_by_words(meter: str, shown: str) -> None:
    assert meters.label(meter) == shown


@pytest.mark.parametrize(
    ("ms", "shown"),
    [
        (900, "0.9 s"),
        (61_000, "1 min 1 s"),
        (7_260_000, "2 h 1 min"),
        (None, "–"),
        (412_870, "6 min 53 s"),
        (59_949, "59.9 s"),
        (59_960, "1 min 0 s"),
        (359_700, "6 min 0 s"),
        (3_599_600, "1 h 0 min"),
    ],
)
def test_duration(ms: object, shown: str) -> None:
    assert words.duration(ms).replace("\u00a0", " ") == shown


def test_moment_names_its_zone() -> None:
    at = datetime(2026, 3, 1, 22, 5, tzinfo=UTC)

    assert plain(words.moment(at)) == "1 Mar 2026, 22:05 UTC"
    assert plain(words.moment(at, "Asia/Shanghai")) == "2 Mar 2026, 06:05 CST"
    assert 'datetime="2026-03-01T22:05:00+00:00"' in words.moment(at)


def test_names_are_escaped() -> None:
    html = Template('{% load portal %}{% figure label value %}{% status state %}').render(
        Context({"label": "<b>", "value": "<i>", "state": "<u>"})
    )  # fmt: skip

    assert not {"<b>", "<i>", "<u>"} & {html[i : i + 3] for i in range(len(html))}


def test_curl_line_is_whole() -> None:
    line = words.curl("POST", "/v1/jobs", '{"kind": "train"}')

    assert line.startswith("curl -X POST")
    assert "Idempotency-Key" in line
    assert "$MILLRACE_KEY" in line


@pytest.mark.parametrize(("name", "shown"), [("new_paying", "New paying"), ("mrr", "MRR"), ("name", "Name")])
def test_heading(name: str, shown: str) -> None:
    assert words.heading(name) == shown


def test_formula_marks_parameters_and_escapes_the_rest() -> None:
    assert words.formula("paying_users < 1 at `to`") == "paying users &lt; 1 at <code>to</code>"


@pytest.mark.parametrize(("value", "shown"), [
    (None, "–"), (False, "no"), ({"amount": 100, "currency": "EUR"}, "EUR 1.00"), (["a"], '["a"]'), ("<b>", "<b>"),
])  # fmt: skip
def test_told(value: object, shown: str) -> None:
    assert plain(words.told(value)) == shown or words.told(value) == shown
