"""Who is asking, and for which tenant."""

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    """Users, tenants, members, invitations, API keys."""

    name = "accounts"

    def ready(self) -> None:
        from accounts import subscribers  # noqa: F401 - registers the listeners
