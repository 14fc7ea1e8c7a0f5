"""What every page's template knows."""

from django.conf import settings
from django.http import HttpRequest

from millrace.portal import navigation

THEMES = ("light", "dark")


def portal(request: HttpRequest) -> dict:
    """The caller (None for strangers), their navigation, and the theme they chose ("" follows the system)."""
    caller = getattr(request, "caller", None)
    theme = request.COOKIES.get("theme", "")
    return {
        "caller": caller,
        "navigation": navigation.entries_for(caller, request.path) if caller else [],
        "theme": theme if theme in THEMES else "",
        "public_base_url": settings.PUBLIC_BASE_URL,
    }
