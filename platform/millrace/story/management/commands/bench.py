"""`manage.py bench`: every room's figures beside the best alternative's, as a table and as var/bench/report.json."""

import importlib
import json
import os
import platform
from argparse import ArgumentParser
from dataclasses import asdict
from typing import IO, Any, cast

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand
from rich.console import Console, JustifyMethod
from rich.table import Table

from millrace.kernel import clock
from millrace.kernel.benchmark import Row

ROOMS = ("billing", "mlops")


class Command(BaseCommand):
    """Runs each room's `bench.rows()` on services of its own."""

    help = "Measure Millrace beside the best alternatives on this machine."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """`--only` for one room."""
        parser.add_argument("--only", choices=ROOMS, help="measure this room only")

    def handle(self, *args: Any, **options: Any) -> None:
        """Measure and report."""
        call_command("bootstrap", verbosity=0)
        wanted = [options["only"]] if options["only"] else ROOMS
        rows = [row for room in wanted for row in importlib.import_module(f"{room}.bench").rows()]
        folder = settings.VAR / "bench"
        folder.mkdir(parents=True, exist_ok=True)
        report = {
            "at": clock.now().isoformat(),
            "machine": {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count()},
            "rows": [asdict(row) | {"ratio": round(row.ratio, 3), "met": row.ratio >= row.target} for row in rows],
        }
        (folder / "report.json").write_text(json.dumps(report, indent=2, ensure_ascii=False), encoding="utf-8")
        Console(file=cast(IO[str], self.stdout), width=None if self.stdout.isatty() else 130).print(_table(rows))
        self.stdout.write(f"{folder / 'report.json'}")


def _table(rows: list[Row]) -> Table:
    table = Table(title="Beside the best alternatives, on this machine")
    columns: dict[str, JustifyMethod] = {
        "what": "left", "Millrace": "right", "beside": "left", "its figure": "right",
        "unit": "left", "ratio": "right", "target": "right",
    }  # fmt: skip
    for name, justify in columns.items():
        table.add_column(name, justify=justify)
    for row in rows:
        verdict = "" if row.ratio >= row.target else "  short"
        table.add_row(
            row.name, f"{row.ours:,.0f}", row.beside, f"{row.theirs:,.0f}", row.unit,
            f"{row.ratio:.2f}{verdict}", f"≥ {row.target:g}",
        )  # fmt: skip
    return table
