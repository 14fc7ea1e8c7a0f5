"""`manage.py migrate`: makes the roles, then migrates as the owner (the app's role may not change tables)."""

from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.core.management.commands.migrate import Command as DjangoMigrate
from django.db import connections

from millrace.kernel.roles import ensure_roles


class Command(DjangoMigrate):
    """Django's command, over the owner's connection unless told otherwise."""

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.set_defaults(database="owner")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["database"] == "owner":
            if "owner" not in connections.databases:
                raise CommandError(
                    "Set DATABASE_OWNER_URL: migrations run as the tables' owner, the app's role may not."
                )
            ensure_roles(connections["owner"])
        super().handle(*args, **options)
