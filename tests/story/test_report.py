"""The month's report on a terminal: no figure breaks in two, whatever the terminal's width."""

import io

import pytest

from millrace.story import report

MONEY = {"amount": 1_234_567_890, "currency": "CNY"}
CHANNEL = {
    "name": "Sensor and controller makers", "clicks": 12_345, "signups": 12_345, "paying": 12_345,
    "revenue": MONEY, "commission": MONEY, "net": MONEY,
}  # fmt: skip
TOLD = {
    "users": 1000, "paying_users": 300, "paying_ratio": 0.3, "revenue": MONEY, "csat": 0.9,
    "streams": [{"name": "usage", "revenue": MONEY}], "channels": [CHANNEL],
    "model": {"recipe": "image-cnn", "accuracy": 0.989, "plain_accuracy": 0.963, "device_ms": 75_060, "billed": 71_862},
}  # fmt: skip


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_money_stays_on_one_line_at_any_width(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    console = report.wide_console()
    console.file = io.StringIO()

    report.show(console, TOLD)

    printed = console.file.getvalue()
    assert printed.count("CNY 12,345,678.90") == 5
    assert max(len(line.rstrip()) for line in printed.splitlines()) <= console.width
    assert console.width == max(columns, 100)
