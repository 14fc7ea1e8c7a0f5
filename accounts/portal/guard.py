"""Who may see a page: the same question that the API asks."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.http import HttpRequest, HttpResponse

from millrace.api.permissions import require


def page(permission: str, *, post: str = "") -> Callable:
    """Decorator of a page's view: the caller needs `permission` to see it and `post`, where given, to send its form.

    A refusal leaves as the page that the tenant middleware makes of it: strangers log in first, and come back.
    """

    def decorate(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
        @wraps(view)
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            require(request.caller, post if post and request.method == "POST" else permission)  # type: ignore[attr-defined]
            return view(request, *args, **kwargs)

        return guarded

    return decorate
