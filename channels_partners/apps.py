"""How customers come, who brought them, and what that earns."""

from django.apps import AppConfig


class ChannelsPartnersConfig(AppConfig):
    """Channels, partners, attribution, commissions, growth reports."""

    name = "channels_partners"

    def ready(self) -> None:
        from channels_partners import reconcile, subscribers  # noqa: F401 - registers checks and listeners
        from channels_partners.portal.origin import partner_name
        from millrace.portal import origins

        origins.register("partner", partner_name)
