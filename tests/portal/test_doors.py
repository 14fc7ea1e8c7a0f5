"""Every page says how the API does the same; what it says is an address that exists, and takes that method."""

import re
from pathlib import Path

import pytest
from django.urls import Resolver404, resolve

ROOT = Path(__file__).resolve().parents[2]
TEMPLATES = [
    path
    for room in ("accounts", "billing", "channels_partners", "mlops", "platform/millrace/portal")
    for path in sorted((ROOT / room / "templates").rglob("*.html"))
]
PAGES = [
    path
    for path in TEMPLATES
    if '{% extends "portal/base.html" %}' in path.read_text() and "{% block main %}" not in path.read_text()
]
_CALL = re.compile(r"""["'](GET|POST|PUT|PATCH|DELETE) (/v1/[^\s"'?]*)""")
_BLANK = re.compile(r"""\{% blank "[^"]*" "(GET|POST)" "(/v1/[^"?]*)""")
_WITH = re.compile(r"\|add:[a-z_.]*(?:public_id|name)(?:\|add:\"(/[a-z]+))?")


def calls_of(text: str) -> list[tuple[str, str]]:
    """(method, address) of every literal call; an identifier that the page adds reads as `x`."""
    found = []
    for match in _CALL.finditer(text):
        rest = _WITH.match(text, match.end() + 1)
        found.append((match[1], match[2] + ("x" + (rest[1] or "") if rest and match[2].endswith("/") else "")))
    return found + [(match[1], match[2]) for match in _BLANK.finditer(text)]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_page_shows_a_door(path: Path) -> None:
    internal = path.name == "mailbox.html"  # development's mailbox has no API

    assert internal or "{% door " in path.read_text()


@pytest.mark.parametrize("path", [path for path in TEMPLATES if calls_of(path.read_text())], ids=lambda p: p.name)
def test_every_call_shown_is_a_door_that_exists(path: Path) -> None:
    for method, address in calls_of(path.read_text()):
        try:
            view = resolve(address.replace("…", "x")).func
        except Resolver404:
            pytest.fail(f"{path.name} shows {method} {address}, and there is no such address")
        assert hasattr(getattr(view, "cls", None), method.lower()), f"{address} does not take {method}"


def test_calls_are_found() -> None:
    text = """{% with "GET /v1/jobs/"|add:job.public_id|add:"/events" as one %}{% door 'POST /v1/jobs {"a": 1}' %}"""

    assert calls_of(text) == [("GET", "/v1/jobs/x/events"), ("POST", "/v1/jobs")]
