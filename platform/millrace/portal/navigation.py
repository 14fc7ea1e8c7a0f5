"""Who sees which pages in the navigation. A room adds its pages where it declares their addresses."""

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from django.urls import reverse

STAFF = "ops.read"
LOGGED_IN = "logged_in"
SECTIONS = ("", "Work", "Cost", "Organisation", "Partner", "Operations")


@dataclass(frozen=True, slots=True)
class Entry:
    """A page in the navigation: `permission` as in accounts.roles, or one of the two above."""

    label: str
    url_name: str
    permission: str
    order: int = 50
    arguments: tuple[str, ...] = ()

    def is_for(self, caller: Any) -> bool:
        """Whether this caller sees it."""
        if self.permission == STAFF:
            return caller.is_staff
        return self.permission == LOGGED_IN or self.permission in caller.permissions


_sections: dict[str, dict[str, Entry]] = defaultdict(dict)


def add(section: str, *entries: Entry) -> None:
    """Add pages to one of SECTIONS; adding one again replaces it, since URL modules may be imported twice in tests."""
    if section not in SECTIONS:
        raise ValueError(f"{section!r} is not a section of the navigation: {', '.join(SECTIONS)}.")
    for entry in entries:
        _sections[section][entry.label] = entry


def entries_for(caller: Any, path: str) -> list[dict]:
    """The sections that this caller sees: `{"name", "links": [{"label", "url", "is_current"}]}`; the link whose address
    is the longest beginning of `path` is the current one."""
    shown: list[dict[str, Any]] = []
    for name in SECTIONS:
        visible = [entry for entry in _sections[name].values() if entry.is_for(caller)]
        links: list[dict[str, Any]] = [
            {"label": entry.label, "url": reverse(entry.url_name, args=entry.arguments), "is_current": False}
            for entry in sorted(visible, key=lambda entry: (entry.order, entry.label))
        ]
        if links:
            shown.append({"name": name, "links": links})
    everything = [link for section in shown for link in section["links"]]
    matching = [
        link for link in everything if link["url"] == path or (link["url"] != "/" and path.startswith(link["url"]))
    ]
    if matching:
        max(matching, key=lambda link: len(link["url"]))["is_current"] = True
    return shown
