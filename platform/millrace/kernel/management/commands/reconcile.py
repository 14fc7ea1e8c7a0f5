"""`manage.py reconcile`: prove that nothing was lost or counted twice."""

import json
import sys
from argparse import ArgumentParser
from dataclasses import asdict
from typing import IO, Any, cast

from django.core.management.base import BaseCommand, CommandError
from rich.console import Console
from rich.table import Table

from millrace.kernel import reconcile


class Command(BaseCommand):
    """Exits 0 with a table of counts and zero differences, or 1 and names the rows."""

    help = "Check the invariants (R1, R2, …) on all rows; exits 1 when one does not hold."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """`--json` for programs; `--only R2 R3` for some of them."""
        parser.add_argument("--json", action="store_true", help="print the results as JSON")
        parser.add_argument("--only", nargs="+", metavar="NAME", help="run these checks only")

    def handle(self, *args: Any, **options: Any) -> None:
        """Run and report."""
        unknown = sorted(set(options["only"] or []) - set(reconcile.names()))
        if unknown:
            raise CommandError(f"There is no check {', '.join(unknown)}; there are {', '.join(reconcile.names())}.")
        results = reconcile.run_checks(options["only"])
        failed = any(result.differences for result in results)
        if options["json"]:
            report = {"ok": not failed, "checks": [asdict(result) for result in results]}
            self.stdout.write(json.dumps(report, ensure_ascii=False, indent=2))
        else:
            show(results, Console(file=cast(IO[str], self.stdout), width=None if sys.stdout.isatty() else 110))
        if failed:
            sys.exit(1)


def show(results: list[reconcile.Check], console: Console) -> None:
    """The results as a table, and the rows that differ."""
    table = Table("", "invariant", "checked", "differences", box=None, pad_edge=False)
    table.columns[2].justify = table.columns[3].justify = "right"
    for result in results:
        colour = "red" if result.differences else "green"
        table.add_row(
            result.name, result.description, f"{result.checked:,}", f"[{colour}]{len(result.differences):,}[/]"
        )
    console.print(table)
    for result in results:
        for difference in result.differences[: reconcile.LONGEST_LIST]:
            console.print(f"{result.name}: {difference}", markup=False, highlight=False)
        if len(result.differences) > reconcile.LONGEST_LIST:
            console.print(f"{result.name}: and {len(result.differences) - reconcile.LONGEST_LIST:,} more")
