"""The visitor's cookie: first-party, signed, and worth nothing but the id of a browser.

The room of channels sets it when somebody follows a link; accounts reads it at sign-up. Neither needs the other.
"""

from collections.abc import Mapping
from uuid import UUID

from django.core import signing
from django.http import HttpResponseBase

COOKIE = "mr_vid"
MAX_AGE_DAYS = 90
MAX_AGE_SECONDS = MAX_AGE_DAYS * 24 * 3600
_SALT = "millrace.visitor"


def visitor_id_of(cookies: Mapping[str, str]) -> UUID | None:
    """The visitor that the request's cookies name; None without one, or when its signature or age is not ours."""
    return visitor_id_in(cookies.get(COOKIE, ""))


def visitor_id_in(value: str) -> UUID | None:
    """The visitor that the cookie's value names; None as above."""
    try:
        return UUID(signing.loads(value, salt=_SALT, max_age=MAX_AGE_SECONDS))
    except (signing.BadSignature, ValueError, TypeError, AttributeError):
        return None


def signed(visitor_id: UUID) -> str:
    """The cookie's value for a visitor."""
    return signing.dumps(str(visitor_id), salt=_SALT)


def remember(response: HttpResponseBase, visitor_id: UUID, *, secure: bool) -> None:
    """Set the cookie for 90 days from now: unreadable to scripts, sent on links from elsewhere, not on their forms."""
    response.set_cookie(
        COOKIE, signed(visitor_id), max_age=MAX_AGE_SECONDS, httponly=True, samesite="Lax", secure=secure
    )
