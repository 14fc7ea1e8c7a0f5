"""The suite's ground: real PostgreSQL with one migrated template, cloned for each worker; real Valkey."""

import fcntl
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import connections
from psycopg import sql

ROOT = Path(__file__).resolve().parents[1]
pytest_plugins = ["tests.fixtures", "tests.openapi_truth"]


@pytest.fixture(scope="session")
def django_db_setup(django_db_blocker: pytest.Mark, worker_id: str) -> Iterator[None]:
    """A database for this worker, cloned from a template that is migrated once for each state of the migrations."""
    template, name = f"template_{_migrations_hash()}", f"test_{worker_id}_{os.getpid()}"
    with (settings.VAR / "template.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with django_db_blocker.unblock():
            _make_template(template)
            with _maintenance() as maintenance:
                maintenance.execute(
                    sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template))
                )
    _use(name)
    yield
    with django_db_blocker.unblock():
        _use(None)
        with _maintenance() as maintenance:
            # Waits for connections that are just closing. FORCE would not: it may end nobody's but the owner's, and fails.
            maintenance.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(name)))


def _migrations_hash() -> str:
    digest = hashlib.sha256()
    for path in sorted(ROOT.glob("**/migrations/*.py")):
        if ".venv" not in path.parts and "var" not in path.parts:
            digest.update(path.read_bytes())
    digest.update((ROOT / "platform/millrace/kernel/roles.py").read_bytes())
    return digest.hexdigest()[:16]


def _make_template(template: str) -> None:
    with _maintenance() as maintenance:
        if maintenance.execute("SELECT 1 FROM pg_database WHERE datname = %s", [template]).fetchone():
            return
        building = f"{template}_building"
        maintenance.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(building)))
        maintenance.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(building)))
        _use(building)
        call_command("migrate", verbosity=0, interactive=False)
        _use(None)
        maintenance.execute(
            sql.SQL("ALTER DATABASE {} RENAME TO {}").format(sql.Identifier(building), sql.Identifier(template))
        )


_original_name = settings.DATABASES["default"]["NAME"]


def _use(name: str | None) -> None:
    """Point both roles' connections at a database (the embedded one for None)."""
    for alias in ("default", "owner"):
        connections[alias].close()
        connections[alias].settings_dict["NAME"] = name or _original_name


def _maintenance() -> psycopg.Connection:
    owner = settings.DATABASES["owner"]
    return psycopg.connect(
        host=owner["HOST"], port=owner["PORT"], user=owner["USER"], password=owner["PASSWORD"], dbname="postgres",
        autocommit=True,
    )  # fmt: skip
