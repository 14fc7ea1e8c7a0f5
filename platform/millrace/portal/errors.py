"""An error page of Django's that needs a view of ours; the others are the templates 400, 403, 404 and 500."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """The form was open for longer than the session, or cookies are off."""
    return render(request, "portal/csrf.html", status=403)
