"""A browser by hand: Django's client, which follows redirects over hosts with its cookies and sends forms as pages have
them."""

import html
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx
from django.test import Client


class Browser:
    """Our host is asked through Django's client, every other over HTTP, without our cookies."""

    def __init__(self) -> None:
        self.client = Client(enforce_csrf_checks=True)
        self.page: Any = None
        self.at = ""

    def go(self, address: str) -> "Browser":
        """Open an address and follow wherever it leads."""
        return self.follow(self._get(address))

    def send(self, words: str, **typed: str) -> "Browser":
        """Press the button that says so, in its form, with these fields typed."""
        forms = re.findall(r"<form\b.*?</form>", self.text(), re.DOTALL)
        form = next(one for one in forms if words in one)
        fields = dict(self._fields(form)) | typed
        action = re.search(r'<form[^>]*\baction="([^"]*)"', form)
        where = html.unescape(action.group(1)) if action else self.at
        return self.follow(self.client.post(where, fields, headers={"User-Agent": "Firefox"}))

    def text(self) -> str:
        """The page's HTML."""
        return str(self.page.content.decode())

    def lose(self, *names: str) -> None:
        """As a browser does that clears cookies."""
        for name in names:
            self.client.cookies.pop(name)

    def me(self) -> str:
        """Whom the API takes this browser for; "" for nobody."""
        answer = self.client.get("/v1/me")
        return str(answer.json()["user"]["email"]) if answer.status_code == 200 else ""

    def _get(self, address: str) -> Any:
        self.at = address
        return self.client.get(address, headers={"User-Agent": "Firefox"})

    def follow(self, answer: Any) -> "Browser":
        """Go where an answer leads, until it is a page."""
        for _ in range(10):
            if answer.status_code not in {301, 302, 303}:
                self.page = answer
                return self
            location = urlsplit(answer.headers["Location"])
            if location.hostname not in {None, "testserver"}:
                answer = httpx.get(location.geturl())  # the provider's host: none of our cookies go there
            else:
                answer = self._get(location._replace(scheme="", netloc="").geturl())
        raise AssertionError("redirected in a circle")

    def _fields(self, form: str) -> Iterator[tuple[str, str]]:
        for tag in re.findall(r"<input\b[^>]*>", form):
            found = {name: html.unescape(value) for name, value in re.findall(r'(\w+)="([^"]*)"', tag)}
            if "name" in found and " disabled" not in tag:
                yield found["name"], found.get("value", "")
