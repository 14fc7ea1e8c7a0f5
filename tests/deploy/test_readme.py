"""What README.md promises: its doors exist, its curl lines reach the API, its picture and links are in the checkout."""

import re
from pathlib import Path

import pytest
from django.core.management import get_commands
from drf_spectacular.generators import SchemaGenerator

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
# One API call of the shell block: its path without the query, and whether it sends a body.
_CALL = re.compile(r"""call (?:-N )?"?http://127\.0\.0\.1:8000(/v1/[^\s"'?)]+)[^\s")]*"?( -d)?""")
LARGEST_PICTURE = 200_000  # bytes


def calls() -> list[tuple[str, str]]:
    """(method, path) of every API call shown; shell variables stay in the path."""
    return [("post" if body else "get", path) for path, body in _CALL.findall(README)]


def test_every_address_of_the_api_is_among_the_calls() -> None:
    assert len(calls()) == README.count("http://127.0.0.1:8000/v1/") > 5


@pytest.mark.parametrize(("method", "path"), calls())
def test_every_call_stands_in_the_openapi_document(method: str, path: str) -> None:
    paths = SchemaGenerator(urlconf="millrace.urls").get_schema(public=True)["paths"]

    found = [known for known in paths if re.fullmatch(re.sub(r"\{\w+\}", r"[^/]+", known), path)]

    assert [known for known in found if method in paths[known]], (method, path)


def test_every_make_door_is_explained_and_exists() -> None:
    doors = set(re.findall(r"^([a-z]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE))
    table = re.findall(r"^\| (`make .*?) \|", README, re.MULTILINE)

    assert set(re.findall(r"`make ([a-z]+)`", "\n".join(table))) == doors - {"help"}


def test_every_command_shown_exists() -> None:
    rows = "\n".join(re.findall(r"^\| (`manage\.py .*?) \|", README, re.MULTILINE))
    shown = set(re.findall(r"manage\.py (\w+)", README)) | set(re.findall(r"`(\w+)`", rows))

    assert shown
    assert shown - set(get_commands()) == set()


def test_what_it_leads_to_is_in_the_checkout() -> None:
    targets = re.findall(r"\]\(([^):#]+)\)", README)
    rooms = re.findall(r"^\| `([a-z/_]+/)`", README, re.MULTILINE)

    assert "deploy/portal.png" in targets
    assert len(rooms) > 8
    assert [path for path in targets + rooms if not (ROOT / path).exists()] == []
    assert (ROOT / "deploy/portal.png").stat().st_size < LARGEST_PICTURE
