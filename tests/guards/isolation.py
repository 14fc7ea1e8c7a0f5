"""The isolation probe: shows, on one table, that a role in one tenant's scope can neither see nor touch another's
row, and does see its own. It works on any tenant table, in a transaction that is rolled back.

It looks with the eyes of the tables' owner, whom FORCE puts under the same policies as the app. Before that the owner
steps out of FORCE to make two rows, with constraints and triggers off, so that no table needs a factory of its own.
"""

from uuid import UUID, uuid4

import psycopg
from psycopg import sql

MINE, THEIRS = UUID(int=1), UUID(int=2)
_VALUES = {
    "uuid": lambda: uuid4(), "text": lambda: uuid4().hex[:12], "character varying": lambda: uuid4().hex[:3],
    "bigint": lambda: uuid4().int % 10**6, "integer": lambda: uuid4().int % 10**6, "smallint": lambda: uuid4().int % 10**4,
    "boolean": lambda: False, "timestamp with time zone": lambda: "2026-01-01T00:00:00Z", "date": lambda: "2026-01-01",
    "jsonb": lambda: "{}", "numeric": lambda: 1, "double precision": lambda: 1.0, "bytea": lambda: b"x",
    "inet": lambda: "192.0.2.1", "interval": lambda: "1 second", "ARRAY": lambda: "{}",
}  # fmt: skip


class Leak(AssertionError):
    """The table does not keep tenants apart (or keeps a tenant from its own)."""


def probe(connection: psycopg.Connection, table: str, *, key: str) -> None:
    """Raise Leak unless `table` keeps MINE and THEIRS apart; `key` is the column that names the tenant."""
    names = {"table": sql.Identifier(table), "key": sql.Identifier(key)}
    _make_rows(connection, table, key)
    connection.execute("SELECT set_config('millrace.tenant', %s, true)", [str(MINE)])

    seen = {row[0] for row in connection.execute(sql.SQL("SELECT {key} FROM {table}").format(**names))}
    if seen != {MINE}:
        raise Leak(f"{table}: sees the rows of {seen or 'nobody'}")
    for statement in ("UPDATE {table} SET {key} = {key} WHERE {key} = %s", "DELETE FROM {table} WHERE {key} = %s"):
        if touched := connection.execute(sql.SQL(statement).format(**names), [THEIRS]).rowcount:
            raise Leak(f"{table}: {statement.split()[0]} touches {touched} foreign rows")
    give_away = sql.SQL("UPDATE {table} SET {key} = %s").format(**names)
    _must_be_refused(connection, give_away, [UUID(int=3)], f"{table}: a row can be written for another tenant")


def probe_without_context(connection: psycopg.Connection, table: str, *, key: str) -> None:
    """Raise Leak unless a statement without any tenant is an error (an empty table would not ask whose rows it has)."""
    _make_rows(connection, table, key)
    connection.execute("SELECT set_config('millrace.tenant', '', true)")
    statement = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table))
    _must_be_refused(connection, statement, [], f"{table}: can be read without a tenant")


def _must_be_refused(connection: psycopg.Connection, statement: sql.Composed, values: list, complaint: str) -> None:
    try:
        with connection.transaction():
            connection.execute(statement, values)
    except (psycopg.errors.InsufficientPrivilege, psycopg.errors.InvalidTextRepresentation):
        return
    raise Leak(complaint)


def _make_rows(connection: psycopg.Connection, table: str, key: str) -> None:
    """One row of MINE and one of THEIRS; the table is under FORCE afterwards if it was before."""
    names = {"table": sql.Identifier(table), "key": sql.Identifier(key)}
    forced = connection.execute("SELECT relforcerowsecurity FROM pg_class WHERE oid = %s::regclass", [_quoted(table)])
    was_forced = forced.fetchone() == (True,)
    connection.execute(sql.SQL("ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY, DISABLE TRIGGER USER").format(**names))
    _drop_constraints(connection, table)
    for tenant in (MINE, THEIRS):
        _insert(connection, table, key, tenant)
    if was_forced:
        connection.execute(sql.SQL("ALTER TABLE {table} FORCE ROW LEVEL SECURITY").format(**names))


def _quoted(table: str) -> str:
    return f'"{table}"'


def _drop_constraints(connection: psycopg.Connection, table: str) -> None:
    found = connection.execute(
        "SELECT conname FROM pg_constraint WHERE conrelid = %s::regclass AND contype IN ('c', 'f', 'x')",
        [_quoted(table)],
    ).fetchall()
    for (name,) in found:
        connection.execute(
            sql.SQL("ALTER TABLE {} DROP CONSTRAINT {}").format(sql.Identifier(table), sql.Identifier(name))
        )


def _insert(connection: psycopg.Connection, table: str, key: str, tenant: UUID) -> None:
    columns = connection.execute(
        "SELECT column_name, data_type FROM information_schema.columns WHERE table_schema = 'public' "
        "AND table_name = %s AND is_identity = 'NO' AND is_generated = 'NEVER'",
        [table],
    ).fetchall()
    values = [tenant if name == key else _VALUES[kind]() for name, kind in columns]
    connection.execute(
        sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(
            sql.Identifier(table),
            sql.SQL(", ").join(sql.Identifier(name) for name, _ in columns),
            sql.SQL(", ").join([sql.Placeholder()] * len(columns)),
        ),
        values,
    )
