"""`manage.py chaos` (behind `make chaos`): a smaller month while programs die and webhooks go astray; then the proof."""

import random
import time
from argparse import ArgumentParser
from collections import Counter
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from rich.console import Console
from rich.table import Table

from billing.models import Invoice, UsageEvent
from millrace.kernel.management.commands.reconcile import show
from millrace.kernel.reconcile import run_checks
from millrace.kernel.tenancy import platform_scope
from millrace.story import report
from millrace.story.acts import days, month, settlement
from millrace.story.cast import Organisation, company
from millrace.story.people import StoryError
from millrace.story.stage import raised, sandbox
from mlops.models import Job, Segment

# What goes wrong with Stripe's webhooks, as shares of them.
WEBHOOKS = {"double": 0.3, "delay": 0.3, "reorder": 0.5, "fail": 0.15}
VICTIMS = ("platform-worker", "serving", "cpu-worker")


class Command(BaseCommand):
    """Kills, doubles, delays; counts what was lost."""

    help = "Inject faults into a month of a dozen customers; exit 1 if anything is lost or counted twice."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--seed", type=int, default=1, help="decides which faults come when")
        parser.add_argument("--customers", type=int, default=12, help="how many subscribe")
        parser.add_argument("--kills", type=int, default=6, help="how many programs are killed with kill -9")

    def handle(self, *args: Any, **options: Any) -> None:
        console, folder = Console(), settings.VAR / "chaos"
        try:
            counts = _perform(console, folder, options)
        except StoryError as error:
            raise CommandError(f"The chaos run stopped: {error}\nThe programs' logs are in {folder}.") from error
        checks = run_checks()
        shown = Table(title="What happened", title_justify="left", show_header=False)
        for name, count in counts.items():
            shown.add_row(name, f"{count:,}")
        console.print(shown)
        show(checks, console)
        lost = counts["usage sent"] - counts["usage stored"]
        differences = sum(len(one.differences) for one in checks)
        told = {"seed": options["seed"], "counts": counts, "lost": lost, "differences": differences}
        report.write(folder / "report.json", told | {"reconcile": report.proof(checks)})
        console.print(f"Written to {folder / 'report.json'}.")
        if lost or differences:
            raise CommandError(f"{lost} units of usage lost or doubled, {differences} differences.")


def _perform(console: Console, folder: Path, options: dict[str, Any]) -> dict[str, int]:
    dice = random.Random(options["seed"])  # noqa: S311 - repeatable faults, not secrets
    kills: Counter[str] = Counter()
    with raised(folder) as stage, console.status("raising the stage") as status:
        sandbox("POST", "/_sandbox/chaos", {"seed": options["seed"], **WEBHOOKS})
        crowd, cast = month.Crowd(), _cast(options["customers"])

        def kill_one() -> None:
            if kills.total() < options["kills"]:
                name = dice.choice([one for one in VICTIMS if one in stage.programs])
                stage.restart(name)
                kills[name] += 1
                status.update(f"{kills.total()} programs killed so far, the last: {name}")

        def kill_and_report(day: int) -> None:
            kill_one()
            month.report_usage(crowd, final=False)

        learning = days.play(stage, crowd, cast, sorted({one.day for one in cast}), evening=kill_and_report)
        for _ in range(options["kills"]):
            kill_one()
            time.sleep(dice.uniform(0.5, 2))
        status.update("the jobs finish")
        learning.finish()
        learning.call(count=10)
        month.report_usage(crowd, final=True)
        status.update("the billing day")
        settlement.settle(stage, crowd)
        deliveries = sandbox("GET", "/_sandbox/deliveries")
    return {
        "customers": len(crowd.customers),
        "programs killed": kills.total() + learning.kills,
        "webhooks delivered": deliveries["delivered"],
        "webhook attempts failed": deliveries["failed_attempts"],
        "usage sent": sum(one.reported for one in crowd.customers.values()),
        **_stored(),
    }


def _cast(customers: int) -> list[Organisation]:
    payers = [one for one in company() if one.plan]
    parts = [one for one in payers if one.part and one.part != "filler"]
    others = [one for one in payers if not one.part]
    return sorted((parts + others)[: max(customers, len(parts))], key=lambda one: one.day)


def _stored() -> dict[str, int]:
    """What the database has of it all."""
    with platform_scope(reason="count what was stored"):
        rows = UsageEvent.objects.filter(meter__startswith="own:")
        segments = Segment.objects.exclude(disposition="pending")
        return {
            "usage stored": sum(rows.values_list("quantity", flat=True)),
            "jobs finished": Job.objects.filter(state="succeeded").count(),
            "segments billed": segments.filter(disposition="billed").count(),
            "segments lost with their worker": segments.filter(disposition="lost").count(),
            "invoices paid": Invoice.objects.filter(status="paid").count(),
        }
