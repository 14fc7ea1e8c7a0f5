"""Every tenant table is guarded by row-level security, and the probe that says so can fail."""

from collections.abc import Iterator

import psycopg
import pytest
from django.conf import settings
from django.db import connections
from psycopg import sql

from millrace.kernel.tenancy import PLATFORM_ROLE, tenant_tables
from tests.guards.isolation import Leak, probe, probe_without_context

TABLES = sorted(tenant_tables())
# Unique without the tenant, and yet telling a stranger nothing: what is unique is random, or nobody's to choose.
GLOBALLY_UNIQUE = {
    "accounts_tenant.slug": "has a random tail",
    "accounts_apikey.lookup": "random",
    "accounts_invitation.token_hash": "the hash of a random token",
}


@pytest.fixture
def owner(django_db_setup: None) -> Iterator[psycopg.Connection]:
    """The owner's connection to the test's database, in a transaction that is rolled back."""
    at = connections["owner"].settings_dict
    with psycopg.connect(
        host=at["HOST"], port=at["PORT"], user=at["USER"], password=at["PASSWORD"], dbname=at["NAME"]
    ) as connection:
        connection.execute("SET LOCAL lock_timeout = '20s'")
        yield connection
        connection.rollback()


def app_role() -> str:
    return settings.DATABASES["default"]["USER"]


def key_of(table: str) -> str:
    return "id" if table == "accounts_tenant" else "tenant_id"


def test_every_table_with_a_tenant_column_is_known(owner: psycopg.Connection) -> None:
    found = owner.execute(
        "SELECT table_name FROM information_schema.columns JOIN information_schema.tables USING (table_schema, table_name) "
        "WHERE table_schema = 'public' AND column_name = 'tenant_id' AND table_type = 'BASE TABLE'"
    ).fetchall()

    assert {name for (name,) in found} | {"accounts_tenant"} == set(TABLES)


@pytest.mark.parametrize("table", TABLES)
def test_a_tenant_table_has_security_forced_and_policies_on_reads_and_writes(
    owner: psycopg.Connection, table: str
) -> None:
    enabled = owner.execute(
        "SELECT relrowsecurity, relforcerowsecurity FROM pg_class WHERE oid = %s::regclass", [f'"{table}"']
    ).fetchone()
    policies = owner.execute(
        "SELECT policyname, roles, cmd, permissive, qual, with_check FROM pg_policies WHERE tablename = %s", [table]
    ).fetchall()

    assert enabled == (True, True)
    by_name = {name: rest for name, *rest in policies}
    assert set(by_name) == {"tenant_isolation", "platform_access"}
    roles, command, _, qual, with_check = by_name["tenant_isolation"]
    assert (roles, command) == (["public"], "ALL")
    assert qual == with_check
    assert qual.replace(" ", "").startswith(
        f"({key_of(table)}=(SELECT(current_setting('millrace.tenant'::text,true))::uuid"
    )
    assert by_name["platform_access"][:2] == [[PLATFORM_ROLE], "ALL"]


@pytest.mark.parametrize("table", TABLES)
def test_tenants_are_kept_apart(owner: psycopg.Connection, table: str) -> None:
    probe(owner, table, key=key_of(table))


@pytest.mark.parametrize("table", TABLES)
def test_no_tenant_is_an_error(owner: psycopg.Connection, table: str) -> None:
    probe_without_context(owner, table, key=key_of(table))


@pytest.mark.parametrize(
    "sabotage",
    [
        "DROP POLICY tenant_isolation ON {table}",
        "ALTER TABLE {table} DISABLE ROW LEVEL SECURITY",
        "ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY",
        "CREATE POLICY everybody ON {table} USING (true)",
        "ALTER POLICY tenant_isolation ON {table} WITH CHECK (true)",
    ],
)
@pytest.mark.parametrize("table", TABLES)
def test_the_probe_can_fail(owner: psycopg.Connection, table: str, sabotage: str) -> None:
    owner.execute(sql.SQL(sabotage).format(table=sql.Identifier(table)))

    with pytest.raises(Leak):
        probe(owner, table, key=key_of(table))


def test_t8_views_look_with_their_callers_eyes(owner: psycopg.Connection) -> None:
    views = owner.execute(
        "SELECT relname FROM pg_class WHERE relkind IN ('v', 'm') AND relnamespace = 'public'::regnamespace "
        "AND NOT coalesce(reloptions::text LIKE '%security_invoker=%', false)"
    ).fetchall()

    assert views == []


def test_functions_run_with_their_callers_rights(owner: psycopg.Connection) -> None:
    definers = owner.execute(
        "SELECT proname FROM pg_proc WHERE prosecdef AND pronamespace = 'public'::regnamespace"
    ).fetchall()

    assert definers == []


def test_t7_unique_keys_name_the_tenant(owner: psycopg.Connection) -> None:
    indexes = owner.execute(
        "SELECT i.indrelid::regclass::text, array_agg(a.attname::text ORDER BY a.attname), "
        "bool_or(a.atttypid = 'uuid'::regtype) "
        "FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey) "
        "WHERE i.indisunique AND i.indrelid::regclass::text = ANY (%s) GROUP BY i.indexrelid, i.indrelid",
        [TABLES],
    ).fetchall()

    open_ = [
        name
        for table, columns, has_id in indexes
        if "tenant_id" not in columns
        and not has_id  # bound to one row, whose UUID is ours and tells nothing when met by chance
        and not all(column.startswith("stripe_") for column in columns)  # Stripe's own ids: nobody's to choose
        and (name := f"{table}.{'+'.join(columns)}") not in GLOBALLY_UNIQUE
    ]

    assert not open_, "\n".join(sorted(open_))


def test_neither_role_of_the_app_can_escape(owner: psycopg.Connection) -> None:
    roles = owner.execute(
        "SELECT rolname, rolsuper, rolbypassrls, rolcreaterole, rolcreatedb FROM pg_roles WHERE rolname = ANY (%s)",
        [[app_role(), PLATFORM_ROLE]],
    ).fetchall()
    owned = owner.execute(
        "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tableowner = ANY (%s)",
        [[app_role(), PLATFORM_ROLE]],
    ).fetchall()

    assert {name for name, *_ in roles} == {app_role(), PLATFORM_ROLE}
    assert not any(power for _, *powers in roles for power in powers)
    assert owned == []
