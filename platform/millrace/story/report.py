"""The month's report: read from the staff's own doors, printed as tables, written to var/demo/report.json."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from millrace.kernel.money import Money
from millrace.kernel.reconcile import Check
from millrace.story.cast import MONTH
from millrace.story.offer import CURRENCY
from millrace.story.people import Person

WIDTH = 100  # columns that the tables take at least
FROM, TO = MONTH, (MONTH + timedelta(days=32)).replace(day=1)


def ask(olga: Person, name: str, **query: str) -> dict:
    """One report of the month, as staff see it."""
    wanted = {"from": FROM.date().isoformat(), "to": TO.date().isoformat(), "currency": CURRENCY, **query}
    return olga.api("GET", f"/v1/ops/reports/{name}?" + "&".join(f"{key}={value}" for key, value in wanted.items()))


def proof(checks: list[Check]) -> dict[str, dict[str, int]]:
    """What the reconciliation found, as the files of the demo and of the chaos run have it."""
    return {one.name: {"checked": one.checked, "differences": len(one.differences)} for one in checks}


def write(path: Path, report: dict) -> None:
    """The report as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, ensure_ascii=False, indent=2) + "\n")


def wide_console() -> Console:
    """A console that is wide enough for the tables, whatever the terminal says: figures must not break in two."""
    console = Console()
    return Console(width=WIDTH) if console.width < WIDTH else console


def show(console: Console, report: dict) -> None:
    """The report for people."""
    figures = Table(title="The month", title_justify="left", show_header=False)
    figures.add_column()
    figures.add_column(justify="right")
    figures.add_row("users", f"{report['users']:,}")
    figures.add_row("paying users", f"{report['paying_users']:,} = {report['paying_ratio']:.1%}")
    figures.add_row("revenue, settled, net", _money(report["revenue"]))
    for stream in report["streams"]:
        figures.add_row(f"  of which {stream['name']}", _money(stream["revenue"]))
    figures.add_row("satisfaction (CSAT)", f"{report['csat']:.1%}")
    model = report["model"]
    figures.add_row(f"recogniser ({model['recipe']}, deep)", f"{model['accuracy']:.2%} on data it never saw")
    figures.add_row("  the plain one", f"{model['plain_accuracy']:.2%}")
    figures.add_row("  its device time", f"{model['device_ms']:,} ms, {model['billed']:,} ms billed")
    console.print(figures)
    channels = Table(title="Channels", title_justify="left")
    for name in ("channel", "clicks", "sign-ups", "paying", "revenue", "commission", "net"):
        channels.add_column(name, justify="left" if name == "channel" else "right", no_wrap=name != "channel")
    for row in report["channels"]:
        channels.add_row(
            row["name"], f"{row['clicks']:,}", f"{row['signups']:,}", f"{row['paying']:,}",
            _money(row["revenue"]), _money(row["commission"]), _money(row["net"]),
        )  # fmt: skip
    console.print(channels)


def _money(value: dict[str, Any]) -> str:
    return str(Money(value["amount"], value["currency"]))
