"""The three database roles: the owner migrates, the app works for one tenant at a time, the platform across them.

`millrace_app` logs in; it owns nothing, is no superuser and bypasses no policy. `millrace_platform` cannot log in: a
transaction of the app steps into it by name (`platform_scope`), and the app inherits nothing of it otherwise. All of
it is plain CREATE ROLE and GRANT, which the owner role of a managed PostgreSQL (16 or later) may do with CREATEROLE.
"""

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error
from psycopg import sql

from millrace.kernel.tenancy import PLATFORM_ROLE, no_scope


def ensure_roles(connection: Any) -> None:
    """Create or refresh the app's and the platform's roles, over the owner's connection. Safe to repeat and to race."""
    app = settings.DATABASES["default"]
    app_role, password = sql.Identifier(app["USER"]), sql.Literal(app["PASSWORD"])
    platform = sql.Identifier(PLATFORM_ROLE)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(hashtext('millrace.roles'))")
        try:
            _create(cursor, app["USER"], "LOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE")
            _create(cursor, PLATFORM_ROLE, "NOLOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE")
            cursor.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(app_role, password))
            cursor.execute(sql.SQL("GRANT {} TO {} WITH INHERIT FALSE, SET TRUE").format(platform, app_role))
            cursor.execute(sql.SQL("GRANT {} TO CURRENT_USER WITH INHERIT FALSE, SET TRUE").format(platform))
        finally:
            cursor.execute("SELECT pg_advisory_unlock(hashtext('millrace.roles'))")


def grant_after_migrate(*, using: str, **_: object) -> None:
    """Let both roles use what the migrations made (signal `post_migrate`); neither may TRUNCATE or own anything."""
    from django.db import connections

    roles = [settings.DATABASES["default"]["USER"], PLATFORM_ROLE]
    with connections[using].cursor() as cursor:
        for role in map(sql.Identifier, roles):
            cursor.execute(sql.SQL("GRANT USAGE ON SCHEMA public TO {}").format(role))
            cursor.execute(
                sql.SQL("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {}").format(role)
            )
            cursor.execute(sql.SQL("GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO {}").format(role))


def check_app_role(*, databases: Sequence[str] | None = None, **_: object) -> list[CheckMessage]:
    """Django's check of the database: the role that we log in as is bound by the policies (T4)."""
    from django.db import connections

    if "default" not in (databases or ()):
        return []
    with no_scope(), connections["default"].cursor() as cursor:
        return [Error(fault, hint="DATABASE_URL needs a role of its own: name one, and `manage.py bootstrap` makes it.")
                for fault in faults_of_role(cursor)]  # fmt: skip


def faults_of_role(cursor: Any) -> list[str]:
    """What would let the role that this cursor is logged in as see other tenants' rows, or take the policies away."""
    cursor.execute("SELECT rolname, rolsuper, rolbypassrls FROM pg_roles WHERE rolname = session_user")
    name, is_superuser, bypasses = cursor.fetchone()
    cursor.execute(
        "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' "
        "AND pg_has_role(session_user, relowner, 'MEMBER')"
    )
    faults = {
        "is a superuser, whom no policy holds": is_superuser,
        "bypasses row-level security": bypasses,
        "owns tables, or may act as who does": cursor.fetchone()[0],
    }
    return [f"The application's database role {name} {fault}." for fault, found in faults.items() if found]


def _create(cursor: Any, name: str, attributes: str) -> None:
    cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [name])
    if cursor.fetchone() is None:
        cursor.execute(sql.SQL("CREATE ROLE {} {}").format(sql.Identifier(name), sql.SQL(attributes)))
