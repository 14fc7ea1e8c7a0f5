"""Clicks: stored before the visitor is sent on, in one statement."""

from datetime import datetime
from urllib.parse import urlsplit
from uuid import UUID

from django.db import connection

from accounts.secrets import keyed_hash
from channels_partners.models import Visitor
from millrace.kernel.ids import uuid7

# One round trip: find the link, remember the visitor, append the click, answer where to go. The inserts run whether or
# not the outer SELECT reads them; an unknown or disabled code makes no row anywhere.
_RECORD = """
WITH link AS (
    SELECT id, destination FROM channels_partners_link WHERE code = %(code)s AND disabled_at IS NULL
), visitor AS (
    INSERT INTO channels_partners_visitor (id, created_at, email_hash)
    SELECT %(visitor)s, %(at)s, '' FROM link
    ON CONFLICT (id) DO NOTHING
), click AS (
    INSERT INTO channels_partners_click
        (id, created_at, at, link_id, visitor_id, ip_hash, user_agent_hash, referer_host)
    SELECT %(click)s, %(at)s, %(at)s, link.id, %(visitor)s, %(ip)s, %(agent)s, %(referer)s FROM link
)
SELECT destination FROM link
"""
_LOOK_UP = "SELECT destination FROM channels_partners_link WHERE code = %(code)s AND disabled_at IS NULL"


def click_record(
    *, code: str, visitor_id: UUID, at: datetime, address: str, user_agent: str, referer: str
) -> str | None:
    """Store the click and answer the link's destination; None, and nothing stored, for an unknown or disabled code."""
    values = {
        "code": code.lower(),
        "visitor": visitor_id,
        "at": at,
        "click": uuid7(),
        "ip": keyed_hash(address),
        "agent": keyed_hash(user_agent),
        "referer": _host_of(referer),
    }
    return _destination(_RECORD, values)


def click_look_up(*, code: str) -> str | None:
    """The link's destination, with nothing stored: for HEAD requests, prefetches and robots."""
    return _destination(_LOOK_UP, {"code": code.lower()})


def visitor_identify(*, visitor_id: UUID, email: str) -> None:
    """Remember the address that a visitor gave, so that a second device with the same address finds its clicks (C4).

    The first address stays: a shared browser does not hand its clicks on.
    """
    Visitor.objects.filter(pk=visitor_id, email_hash="").update(email_hash=email_hash(email))


def email_hash(email: str) -> str:
    """The keyed hash that a visitor's address is kept and found by."""
    return keyed_hash(f"visitor-email:{email.strip().lower()}")


def _destination(statement: str, values: dict) -> str | None:
    if not values["code"].isprintable():
        return None
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        row = cursor.fetchone()
    return row[0] if row else None


def _host_of(referer: str) -> str:
    try:
        return (urlsplit(referer).hostname or "")[:253].replace("\x00", "")
    except ValueError:
        return ""
