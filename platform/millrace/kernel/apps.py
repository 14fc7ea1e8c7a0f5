"""The kernel: what every room stands on. It knows no room."""

from django.apps import AppConfig
from django.db.backends.signals import connection_created


class KernelConfig(AppConfig):
    """Fits every database connection with the tenancy wrapper."""

    name = "millrace.kernel"
    label = "kernel"

    def ready(self) -> None:
        from django.core import checks
        from django.db.models.signals import post_migrate

        from millrace.kernel import roles, tenancy

        connection_created.connect(tenancy.fit_connection, dispatch_uid="millrace.tenancy")
        checks.register(roles.check_app_role, checks.Tags.database)
        post_migrate.connect(roles.grant_after_migrate, sender=self, dispatch_uid="millrace.roles")
