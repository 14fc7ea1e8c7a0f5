"""Whose link brought a visitor, for the sign-up page. The room that knows registers how to find out."""

from collections.abc import Callable

from django.http import HttpRequest

Finder = Callable[[HttpRequest], str]
_finders: dict[str, Finder] = {}


def register(name: str, finder: Finder) -> None:
    """`finder(request)` answers a name to show, or nothing; one registered again is replaced."""
    _finders[name] = finder


def came_through(request: HttpRequest) -> str:
    """The first name that a finder answers; "" for whoever came by themselves."""
    return next((found for finder in _finders.values() if (found := finder(request))), "")
