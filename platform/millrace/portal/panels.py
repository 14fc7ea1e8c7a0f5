"""The dashboard's panels: each room brings its own, so that the page needs to know no room."""

from collections.abc import Callable
from dataclasses import dataclass

from django.http import HttpRequest
from django.template.loader import render_to_string


@dataclass(frozen=True, slots=True)
class Panel:
    """`context(request)` answers the template's values, or None where there is nothing to show."""

    name: str
    template: str
    permission: str
    context: Callable[[HttpRequest], dict | None]
    order: int = 50


_panels: dict[str, Panel] = {}


def add(panel: Panel) -> None:
    """Add a panel; one of the same name is replaced."""
    _panels[panel.name] = panel


def rendered(request: HttpRequest) -> list[str]:
    """The panels that the caller may see, as HTML, in order."""
    caller = request.caller  # type: ignore[attr-defined]
    shown: list[str] = []
    for panel in sorted(_panels.values(), key=lambda panel: panel.order):
        if panel.permission not in caller.permissions:
            continue
        context = panel.context(request)
        if context is not None:
            shown.append(render_to_string(panel.template, context, request=request))
    return shown
