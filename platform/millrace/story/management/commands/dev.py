"""`manage.py dev` (behind `make dev`): the whole system in one terminal."""

import os
import sys
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import call_command, get_commands
from django.core.management.base import BaseCommand, CommandError

from millrace.embedded.dev import Program, Runner
from millrace.embedded.places import ROOT
from millrace.embedded.processes import port_answers
from millrace.story.logins import LOGINS, PASSWORD

ROOMS = ("platform", "accounts", "billing", "channels_partners", "mlops")


class Command(BaseCommand):
    """Web, workers, serving and beat, with their lines under one another and their code reloaded."""

    help = "Run everything on this machine: web, workers, serving, beat, and the embedded services."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--port", type=int, default=8000, help="the portal's port on 127.0.0.1 (default 8000)")

    def handle(self, *args: Any, **options: Any) -> None:
        port = options["port"]
        if port_answers(port):
            raise CommandError(
                f"Something already answers on 127.0.0.1:{port}: stop it, or take another: make dev ARGS='--port 8001'"
            )
        call_command("bootstrap", verbosity=options["verbosity"])
        runner = Runner(
            programs(port),
            folder=ROOT,
            watched=[ROOT / room for room in ROOMS],
            environment=self._environment(),
        )
        for line in self._addresses(port):
            runner.say(line)
        runner.run()
        self.stdout.write("Everything has stopped.")

    def _environment(self) -> dict[str, str]:
        path = os.pathsep.join([str(ROOT / "platform"), str(ROOT)])
        return os.environ | {"PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}

    def _addresses(self, port: int) -> list[str]:
        base = f"http://127.0.0.1:{port}"
        lines = [
            f"portal     {base}/",
            f"API        {base}/docs",
            f"Stripe     {settings.STRIPE_API_BASE or 'no sandbox'}",
        ]
        known = set(get_user_model().objects.values_list("email", flat=True))
        people = [login for login in LOGINS if login.email in known]
        lines += [f"log in     {login.email}  password {PASSWORD}  ({login.who})" for login in people]
        if not people:
            lines.append(f"log in     nobody yet: sign up at {base}/accounts/signup/, or `make demo` first")
        return [*lines, "Ctrl-C stops everything."]


def programs(port: int) -> list[Program]:
    """What runs, in the order of the prefixes' colours. The sandbox is among the embedded services."""
    python, manage = sys.executable, str(ROOT / "manage.py")
    uvicorn = [
        python,
        "-m",
        "uvicorn",
        "millrace.asgi:application",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--lifespan=off",
    ]
    celery = [python, "-m", "celery", "--quiet", "-A", "millrace"]
    schedule = str(settings.VAR / "celerybeat-schedule")
    found = [
        # Templates are cached by the process that read them: the web restarts for them too.
        Program("web", uvicorn, suffixes=(".py", ".html")),
        # One process at a time is plenty for a laptop; production runs as many as it likes.
        Program("tasks", [*celery, "worker", "--loglevel=warning", "-Q", "platform", "--concurrency=1"]),
        Program("beat", [*celery, "beat", "--loglevel=warning", "-s", schedule]),
    ]
    known = get_commands()
    found += [Program(name, [python, manage, name]) for name in ("worker", "serve") if name in known]
    return found
