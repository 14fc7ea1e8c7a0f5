"""The HTTP API's base: authentication contract, problems, idempotency, pagination, throttles, OpenAPI."""

from django.apps import AppConfig


class ApiConfig(AppConfig):
    """No models of its own."""

    name = "millrace.api"
    label = "api"
