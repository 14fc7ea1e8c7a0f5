"""`manage.py bootstrap`: prepares an empty database, a managed one too. Safe to repeat; numbered, so that one sees
where it stopped."""

from io import StringIO
from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand


class Command(BaseCommand):
    """Roles, tables, policies, grants."""

    help = "Make the database roles, run the migrations as the owner and grant the app its rights."

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write("1/2 roles, tables and policies …")
        call_command("migrate", interactive=False, verbosity=max(options["verbosity"] - 1, 0))
        self.stdout.write("2/2 checking that the policies bind the application's role …")
        call_command("check", database=["default"], stdout=StringIO())  # raises what it finds
        self.stdout.write(self.style.SUCCESS("The database is ready."))
