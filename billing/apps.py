"""What it costs."""

from django.apps import AppConfig


class BillingConfig(AppConfig):
    """Catalogue, usage, invoices, ledger, Stripe."""

    name = "billing"

    def ready(self) -> None:
        from billing import reconcile, subscribers  # noqa: F401 - registers checks and listeners
