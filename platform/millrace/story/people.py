"""The people of the story. They use browsers and API keys, never the code."""

import re
from typing import Any
from urllib.parse import urlsplit

import httpx

from accounts.models import Mail
from millrace.story.connections import connection
from millrace.story.logins import PASSWORD

_LINK = re.compile(r"https?://\S+")


class StoryError(RuntimeError):
    """A door answered what the story does not expect; says which and what."""


def expect(answer: httpx.Response, *statuses: int) -> httpx.Response:
    """The answer, if its status is one of those; StoryError with what the door said otherwise."""
    if answer.status_code not in (statuses or (200, 201, 202, 204)):
        request = answer.request
        raise StoryError(f"{request.method} {request.url} answered {answer.status_code}: {_gist(answer)}")
    return answer


class Person:
    """Somebody with a browser: cookies, forms, and the portal's session for the API."""

    def __init__(self, base_url: str, email: str, name: str) -> None:
        self.email, self.name = email, name
        self.browser = connection(base_url)

    def follow(self, code: str) -> None:
        """Click a partner's link; the browser keeps the cookie."""
        expect(self.browser.get(f"/r/{code}"), 302)

    def sign_up(self, *, organisation: str = "", coupon: str = "", invitation: str = "") -> None:
        """Fill the sign-up form, as founder of an organisation or with an invitation, and confirm the address."""
        path = "/accounts/signup/" + (f"?invitation={invitation}" if invitation else "")
        expect(self.browser.get(path), 200)
        form = {"email": self.email, "password1": PASSWORD, "name": self.name, "coupon": coupon}
        form |= {"invitation": invitation} if invitation else {"organisation": organisation}
        expect(self.submit(path, form), 302)

    def confirm_address(self) -> None:
        """Press the button behind the link that was mailed."""
        expect(self.submit(_path(self.newest_link("confirm")), {}), 302)

    def log_in(self) -> None:
        """Open a session with the password."""
        expect(self.browser.get("/accounts/login/"), 200)
        expect(self.submit("/accounts/login/", {"login": self.email, "password": PASSWORD}), 302)

    def newest_link(self, part: str) -> str:
        """The newest address with `part` in it among this person's mail."""
        for mail in Mail.objects.filter(to=self.email).order_by("-id")[:5]:
            for link in _LINK.findall(mail.text):
                if part in link:
                    return link.rstrip(".")
        raise StoryError(f"{self.email} has no mail with a link to {part!r}.")

    def submit(self, path: str, form: dict[str, Any]) -> httpx.Response:
        """Send a form with the page's CSRF token."""
        token = self.browser.cookies.get("csrftoken") or ""
        return self.browser.post(path, data=form | {"csrfmiddlewaretoken": token})

    def api(self, method: str, path: str, body: Any = None, *, key: str = "") -> Any:
        """One call of the API within the portal's session; its JSON."""
        headers = {"X-CSRFToken": (self.browser.cookies.get("csrftoken") or "")}
        if key:
            headers["Idempotency-Key"] = key
        answer = expect(self.browser.request(method, path, json=body, headers=headers))
        return answer.json() if answer.content else None


class Program:
    """Somebody's program: an API key and nothing else."""

    def __init__(self, base_url: str, key: str) -> None:
        self.http = connection(base_url, headers={"Authorization": f"Bearer {key}"})

    def call(self, method: str, path: str, body: Any = None, *, key: str = "", **query: Any) -> Any:
        """One call; its JSON."""
        headers = {"Idempotency-Key": key} if key else {}
        answer = expect(self.http.request(method, path, json=body, headers=headers, params=query or None))
        return answer.json() if answer.content else None


def _path(link: str) -> str:
    parts = urlsplit(link)
    return parts.path + (f"?{parts.query}" if parts.query else "")


def _gist(answer: httpx.Response) -> str:
    text = answer.text
    if "html" in answer.headers.get("content-type", ""):
        errors = re.findall(r'class="[^"]*error[^"]*"[^>]*>(.*?)</', text, re.DOTALL)
        text = " ".join(errors) or re.sub(r"<[^>]+>", " ", text)
    return re.sub(r"\s+", " ", text).strip()[:600]
