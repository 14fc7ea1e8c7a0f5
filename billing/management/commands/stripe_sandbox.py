"""`python manage.py stripe_sandbox`: the payment sandbox as a process of its own."""

from argparse import ArgumentParser, Namespace
from typing import Any

from django.core.management.base import BaseCommand

from billing.sandbox.server import add_arguments, run


class Command(BaseCommand):
    """A thin door: the sandbox itself knows nothing of Django."""

    help = "Serve a Stripe-compatible sandbox with its state on disk."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        run(Namespace(**options))
