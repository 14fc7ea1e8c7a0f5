"""What every page's template knows."""

from django.http import HttpRequest


def portal(request: HttpRequest) -> dict:
    """The caller (None for strangers)."""
    return {"caller": getattr(request, "caller", None)}
