"""`manage.py dev` (behind `make dev`): the whole system in one terminal."""

import os
import sys
from argparse import ArgumentParser
from contextlib import ExitStack
from typing import Any

import httpx
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from billing.errors import PriceInvalid
from billing.models import PriceVersion
from billing.services.catalogue import catalogue_seed
from millrace.embedded.dev import Program, Runner
from millrace.embedded.places import ROOT
from millrace.embedded.processes import port_answers
from millrace.story import business_time
from millrace.story.cast import LAST_MOVE
from millrace.story.logins import LOGINS, PASSWORD, Login
from millrace.story.people import StoryError
from millrace.story.stage import held

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
        try:
            with held(shared=True):
                self._run(port, options["verbosity"])
        except StoryError as error:
            raise CommandError(str(error)) from error
        self.stdout.write("Everything has stopped.")

    def _run(self, port: int, verbosity: int) -> None:
        call_command("bootstrap", verbosity=verbosity)
        people = people_of_the_story()
        runner = Runner(
            programs(port),
            folder=ROOT,
            watched=[ROOT / room for room in ROOMS],
            environment=environment(port),
            first_chore=lambda: point_sandbox_at(port),
        )
        with ExitStack() as stack:
            lines = addresses(port, people)
            if people:
                at = stack.enter_context(business_time.resumed(settings.VAR / "demo", LAST_MOVE))
                lines.append(
                    f"clock      {at:%d %B %Y, %H:%M} UTC, where the demo's month ended; real time again at the end"
                )
            else:
                lines += offer_something()
            for line in [*lines, "Ctrl-C stops everything."]:
                runner.say(line)
            runner.run()


def environment(port: int) -> dict[str, str]:
    """The programs' environment: links lead to this very portal unless PUBLIC_BASE_URL says where it is reached."""
    path = os.pathsep.join([str(ROOT / "platform"), str(ROOT)])
    own = {"PUBLIC_BASE_URL": base_url(port)}
    return own | os.environ | {"PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}


def base_url(port: int) -> str:
    """Where the portal answers."""
    return f"http://127.0.0.1:{port}"


def people_of_the_story() -> list[Login]:
    """Whom one can log in as: nobody where the demo has not been played."""
    known = set(get_user_model().objects.values_list("email", flat=True))
    return [login for login in LOGINS if login.email in known]


def addresses(port: int, people: list[Login]) -> list[str]:
    """What to open, and as whom."""
    base = base_url(port)
    lines = [
        f"portal     {base}/",
        f"API        {base}/docs",
        f"Stripe     {settings.STRIPE_API_BASE or 'no sandbox'}",
    ]
    lines += [f"log in     {login.email}  password {PASSWORD}  ({login.who})" for login in people]
    if not people:
        lines.append(f"log in     nobody yet: sign up at {base}/accounts/signup/, or `make demo` first")
    return lines


def offer_something() -> list[str]:
    """The example catalogue where nothing is for sale yet; what to tell about it."""
    if PriceVersion.objects.exists():
        return []
    try:
        plans = catalogue_seed(currency=settings.BILLING_CURRENCY)
    except PriceInvalid as refused:
        return [f"prices     none: {refused.detail} BILLING_CURRENCY is {settings.BILLING_CURRENCY}."]
    return [f"prices     the example catalogue: {', '.join(plans)}, in {settings.BILLING_CURRENCY}"]


def point_sandbox_at(port: int) -> bool:
    """Have the sandbox send its events here, once the web takes them; True when there is nothing left to do."""
    if not business_time.sandbox_is_stripe():
        return True
    try:
        httpx.get(f"{base_url(port)}/readyz", timeout=5).raise_for_status()
    except httpx.HTTPError:
        return False  # still starting, or mending: its own lines say which
    endpoint = {"url": f"{base_url(port)}/webhooks/stripe", "secret": settings.STRIPE_WEBHOOK_SECRET}
    business_time.sandbox("POST", "/_sandbox/endpoint", endpoint)
    return True


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
    return [
        # Templates are cached by the process that read them: the web restarts for them too.
        Program("web", uvicorn, suffixes=(".py", ".html")),
        # One process at a time is plenty for a laptop; production runs as many as it likes.
        Program("tasks", [*celery, "worker", "--loglevel=warning", "-Q", "platform", "--concurrency=1"]),
        Program("beat", [*celery, "beat", "--loglevel=warning", "-s", schedule]),
        # The processor beside any GPU: a job that asks for either finds someone.
        Program("worker", [python, manage, "worker", "--queues", "gpu,cpu"]),
        Program("serve", [python, manage, "serve"]),
    ]
