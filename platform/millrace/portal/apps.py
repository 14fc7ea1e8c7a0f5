"""The portal's furniture: base templates, components, tokens."""

from django.apps import AppConfig


class PortalConfig(AppConfig):
    """No models; every room brings its own pages."""

    name = "millrace.portal"
    label = "portal"
