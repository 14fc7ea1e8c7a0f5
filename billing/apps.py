"""What it costs."""

from django.apps import AppConfig


class BillingConfig(AppConfig):
    """Catalogue, usage, invoices, ledger, Stripe."""

    name = "billing"
