"""Who is asking: the tenant scope, and how it reaches PostgreSQL's row-level security.

A scope is a context variable; it opens no transaction. Every statement that runs in it is sent with a prefix of
transaction-local settings in the same message to the server, which executes both as one transaction. So there is no
session-level SET that a pooler could hand to somebody else (T2), nothing to reset between tasks or requests (T3), no
request-wide transaction (T6), and no extra round trip. Outside any scope the settings are cleared, the policies
match no row, and a statement that names a tenant table is refused here, with an explanation (T5).
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from typing import Any
from uuid import UUID

from django.apps import apps
from django.db import transaction

PLATFORM_ROLE = "millrace_platform"
_NOBODY = UUID(int=0)
_CONTROL = ("SAVEPOINT", "RELEASE", "ROLLBACK")
_CLEAR = "SELECT set_config('millrace.tenant','',true),set_config('role','none',true);"


class TenantContextMissing(RuntimeError):
    """A statement touches a tenant's table and nobody said for which tenant."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Either one tenant's view, or the platform's with the reason for it."""

    tenant_id: UUID | None
    reason: str = ""

    @property
    def prefix(self) -> str:
        """The settings, as SQL without parameters; the UUID's spelling cannot hold a quote."""
        if self.tenant_id is None:
            return f"SELECT set_config('millrace.tenant','{_NOBODY}',true),set_config('role','{PLATFORM_ROLE}',true);"
        return f"SELECT set_config('millrace.tenant','{self.tenant_id}',true),set_config('role','none',true);"


_scope: ContextVar[Scope | None] = ContextVar("millrace_scope", default=None)


@contextmanager
def tenant_scope(tenant_id: UUID) -> Iterator[None]:
    """Within the block, see and write this tenant's rows only."""
    if not isinstance(tenant_id, UUID):
        raise TypeError(f"A tenant scope takes a UUID, not {tenant_id!r}.")
    with _entered(Scope(UUID(int=tenant_id.int))):
        yield


@contextmanager
def platform_scope(*, reason: str) -> Iterator[None]:
    """Within the block, work across tenants, on a database role of its own; `reason` says why, for readers."""
    if not reason:
        raise ValueError("Say why the platform scope is needed.")
    with _entered(Scope(None, reason)):
        yield


@contextmanager
def no_scope() -> Iterator[None]:
    """Within the block, as a fresh request or task: no tenant, no platform."""
    with _entered(None):
        yield


@contextmanager
def _entered(scope: Scope | None) -> Iterator[None]:
    token = _scope.set(scope)
    try:
        yield
    finally:
        _scope.reset(token)


def current_tenant_id() -> UUID | None:
    """The tenant in scope; None in the platform's scope or in none."""
    scope = _scope.get()
    return scope.tenant_id if scope else None


def current_scope() -> Scope | None:
    """The scope in force, for guards and logs."""
    return _scope.get()


def fit_connection(*, connection: Any, **_: object) -> None:
    """Install the wrapper on a new connection (signal `connection_created`; fires again on each reconnect)."""
    if connection.vendor == "postgresql" and run_scoped not in connection.execute_wrappers:
        connection.execute_wrappers.append(run_scoped)


def run_scoped(execute: Callable, sql: Any, params: Any, many: bool, context: dict) -> Any:
    """Send one statement with its scope in front of it (a database instrumentation wrapper of Django's)."""
    connection = context["connection"]
    if connection.alias == "owner" and _scope.get() is None:
        return execute(sql, params, many, context)  # migrations
    text = sql if isinstance(sql, str) else sql.as_string(connection.connection)
    if text.lstrip()[:9].upper().startswith(_CONTROL):
        return execute(sql, params, many, context)
    scope = _scope.get()
    if scope is None:
        _refuse_tenant_tables(text)
        if not connection.in_atomic_block:
            return execute(sql, params, many, context)
    prefix = scope.prefix if scope else _CLEAR
    cursor = context["cursor"].cursor
    if many:
        with transaction.atomic(using=connection.alias, savepoint=False):
            cursor.execute(prefix)
            return execute(sql, params, many, context)
    result = execute(prefix + text, params, many, context)
    cursor.nextset()  # past the settings, to the statement's own result
    return result


@cache
def tenant_tables() -> frozenset[str]:
    """Every table that row-level security guards: those with a tenant_id, and the tenants themselves."""
    tables = {
        model._meta.db_table
        for model in apps.get_models(include_auto_created=True)
        if any(field.column == "tenant_id" for field in model._meta.local_concrete_fields)
    }
    return frozenset(tables | {apps.get_model("accounts", "Tenant")._meta.db_table})


@cache
def _tenant_table_pattern() -> re.Pattern[str]:
    return re.compile(r"\b(" + "|".join(sorted(tenant_tables())) + r")\b")


def _refuse_tenant_tables(sql: str) -> None:
    found = _tenant_table_pattern().search(sql)
    if found:
        raise TenantContextMissing(
            f"{found.group(1)} belongs to tenants: enter tenant_scope(tenant_id), or platform_scope(reason=…) "
            "for work across tenants."
        )
