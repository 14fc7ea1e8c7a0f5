"""`manage.py demo` (behind `make demo`): one business month through the public doors, then its report and its proof."""

import time
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from millrace.kernel.management.commands.reconcile import show
from millrace.kernel.reconcile import run_checks
from millrace.story import report
from millrace.story.acts import days, month, settlement
from millrace.story.cast import BILLING_DAY, SEED, Organisation, company
from millrace.story.figures import gather
from millrace.story.logins import LOGINS
from millrace.story.people import Person, StoryError
from millrace.story.stage import raised


class Command(BaseCommand):
    """Plays the month, prints the report, proves it."""

    help = "Play one business month on embedded services, print its report, reconcile it."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--seed", type=int, default=SEED, help="another seed is another cast")

    def handle(self, *args: Any, **options: Any) -> None:
        began = time.monotonic()
        console = Console()
        folder = settings.VAR / "demo"
        cast = company(options["seed"])
        try:
            told = _play(console, folder, cast)
        except StoryError as error:
            raise CommandError(f"The story stopped: {error}\nThe programs' logs are in {folder}.") from error
        told["seconds"] = round(time.monotonic() - began, 1)
        checks = run_checks()
        console = report.wide_console()
        told["reconcile"] = report.proof(checks)
        report.show(console, told)
        show(checks, console)
        report.write(folder / "report.json", told)
        console.print(f"Written to {folder / 'report.json'} after {told['seconds']:.0f} s. See it all: make dev")
        if any(one.differences for one in checks):
            raise CommandError("The figures do not reconcile: see the table.")


def _play(console: Console, folder: Path, cast: list[Organisation]) -> dict[str, Any]:
    bar = Progress(
        TextColumn("{task.description:<34}"), BarColumn(40), TaskProgressColumn(), TimeElapsedColumn(), console=console
    )
    with bar:
        task = bar.add_task("raising the stage", total=len(cast) + 30)

        def say(what: str, steps: int = 0) -> None:
            bar.update(task, description=what, advance=steps)

        with raised(folder) as stage:
            crowd = month.Crowd()

            def report_weekly(day: int) -> None:
                if day % 7 == 0:
                    settlement.wait_quiet(stage)
                    month.report_usage(crowd, final=False)

            learning = days.play(
                stage, crowd, cast, range(1, BILLING_DAY),
                arrived=lambda day: say(f"{day} January", 1), evening=report_weekly,
            )  # fmt: skip
            say("the training ends")
            learning.finish()
            say("the model is called", 10)
            learning.call()
            month.report_usage(crowd, final=True)
            settlement.ask_customers(crowd)
            say("the billing day", 10)
            faults = settlement.settle(stage, crowd)
            faults |= {"workers_killed": learning.kills, "canceled_job": learning.canceled}
            say("the reports", 5)
            olga = Person(stage.base_url, LOGINS[2].email, "Olga")
            olga.log_in()
            told = gather(olga, learning, faults)
            say("done", 5)
    return told
