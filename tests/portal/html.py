"""What every page must be, read from its HTML by the parser of the standard library."""

import re
from html.parser import HTMLParser
from typing import Any

_VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
_SVG_LEAVES = {"circle", "path", "line", "rect", "polyline"}


class Page(HTMLParser):
    """Collects what the checks need."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.faults: list[str] = []
        self.texts: list[tuple[str, str]] = []
        self.inside_label = 0
        self.wrapped: set[int] = set()
        self.feed(html)
        self.close()
        if self.open:
            self.faults.append(f"never closed: {self.open}")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Remember the element."""
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if self.inside_label:
            self.wrapped.add(len(self.elements) - 1)
        if tag == "label":
            self.inside_label += 1
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """`<path …/>`: opened and closed."""
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        """It must close what is open."""
        if tag == "label":
            self.inside_label -= 1
        if not self.open or self.open[-1] != tag:
            self.faults.append(f"</{tag}> closes {self.open[-1:] or 'nothing'} at {self.getpos()}")
        else:
            self.open.pop()

    def handle_data(self, data: str) -> None:
        """Text, with the element it stands in."""
        if data.strip():
            self.texts.append((self.open[-1] if self.open else "", data))

    def all(self, tag: str) -> list[dict[str, str]]:
        """The attributes of all elements of a kind."""
        return [attrs for name, attrs in self.elements if name == tag]


def faults_of(html: str, *, own_host: str = "testserver") -> list[str]:
    """Everything about the page that is not as it must be; empty for a good one."""
    page = Page(html)
    found = list(page.faults)
    if len(page.all("h1")) != 1:
        found.append(f"{len(page.all('h1'))} h1")
    if not page.all("html") or not page.all("html")[0].get("lang"):
        found.append("no language")
    if "main" not in dict(page.elements):
        found.append("no main")
    found += _inline(page) + _unlabelled(page) + _duplicates(page) + _hosts(page, own_host)
    if re.search(r"\{[{%#]|[%#}]\}", "".join(text for where, text in page.texts if where not in {"code", "pre"})):
        found.append("template code in the text")
    return found


def _inline(page: Page) -> list[str]:
    found = [f"style attribute on {tag}" for tag, attrs in page.elements if "style" in attrs]
    found += [f"{name} on {tag}" for tag, attrs in page.elements for name in attrs if name.startswith("on")]
    found += ["inline style element" for _ in page.all("style")]
    for script in page.all("script"):
        if "src" not in script and script.get("type") != "application/json":
            found.append("inline script")
    return found


def _unlabelled(page: Page) -> list[str]:
    labelled = {label["for"] for label in page.all("label") if "for" in label}
    found = []
    for index, (tag, attrs) in enumerate(page.elements):
        if tag not in {"input", "select", "textarea"} or attrs.get("type") in {"hidden", "submit", "button"}:
            continue
        named = (
            attrs.get("id") in labelled
            or index in page.wrapped
            or attrs.get("aria-label")
            or attrs.get("aria-labelledby")
        )
        if not named:
            found.append(f"{tag} {attrs.get('name')} has no label")
    found += [f"img {attrs.get('src')} has no alt" for attrs in page.all("img") if "alt" not in attrs]
    found += ["th without scope" for attrs in page.all("th") if "scope" not in attrs]
    return found


def _duplicates(page: Page) -> list[str]:
    ids = [attrs["id"] for _, attrs in page.elements if attrs.get("id")]
    return [f"id {one} twice" for one in sorted({one for one in ids if ids.count(one) > 1})]


def _hosts(page: Page, own_host: str) -> list[str]:
    found = []
    for tag, attrs in page.elements:
        for name in ("src", "href", "action", "srcset", "poster", "data"):
            value = attrs.get(name, "")
            if re.match(r"(https?:)?//", value) and own_host not in value and not _leads_out(tag, attrs):
                found.append(f"{tag} {name} leads to {value}")
    return found


def _leads_out(tag: str, attrs: dict[str, Any]) -> bool:
    # A link that a person follows may lead elsewhere; what the browser loads by itself may not.
    return tag == "a"
