"""Migration operations: row-level security for a tenant's table."""

from django.db.migrations.operations.special import RunSQL

from millrace.kernel.tenancy import PLATFORM_ROLE


class EnableRowSecurity(RunSQL):
    """Guard `table` by its tenant column, for its owner too, and let the platform's role work across tenants.

    The setting is read in a sub-select so that it is evaluated once a statement, not once a row.
    """

    def __init__(self, table: str, column: str = "tenant_id") -> None:
        mine = f"{column} = (SELECT current_setting('millrace.tenant', true)::uuid)"
        super().__init__(
            sql=[
                f'ALTER TABLE "{table}" ENABLE ROW LEVEL SECURITY',
                f'ALTER TABLE "{table}" FORCE ROW LEVEL SECURITY',
                f'CREATE POLICY tenant_isolation ON "{table}" USING ({mine}) WITH CHECK ({mine})',
                f'CREATE POLICY platform_access ON "{table}" TO {PLATFORM_ROLE} USING (true) WITH CHECK (true)',
            ],
            reverse_sql=[
                f'DROP POLICY platform_access ON "{table}"',
                f'DROP POLICY tenant_isolation ON "{table}"',
                f'ALTER TABLE "{table}" NO FORCE ROW LEVEL SECURITY',
                f'ALTER TABLE "{table}" DISABLE ROW LEVEL SECURITY',
            ],
        )
        self.table, self.column = table, column

    def deconstruct(self) -> tuple:
        """Written in a migration as it was called."""
        return self.__class__.__name__, [self.table], {} if self.column == "tenant_id" else {"column": self.column}
