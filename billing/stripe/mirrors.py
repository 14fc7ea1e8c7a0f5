"""Helpers that every mirror of a Stripe object uses."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.db import connection


def mirror_lock(stripe_id: str) -> None:
    """One writer at a time for one object, until the transaction ends.

    The object is fetched inside the lock: whoever writes last has also read last, so an older state can never
    overwrite a newer one, whatever order events come in.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [stripe_id])


def moment(epoch: int | None) -> datetime | None:
    """Stripe's seconds as a time."""
    return None if epoch is None else datetime.fromtimestamp(epoch, UTC)


def certain(epoch: int) -> datetime:
    """The same where it is always there."""
    return datetime.fromtimestamp(epoch, UTC)


def ident(thing: Any) -> str:
    """The id of an object that may be expanded or not; empty for none."""
    if isinstance(thing, dict):
        return str(thing.get("id") or "")
    return str(thing or "")


def uuid_in(metadata: dict | None, name: str) -> UUID | None:
    """A UUID that we wrote into metadata; None where it is missing or somebody wrote something else."""
    try:
        return UUID(str((metadata or {})[name]))
    except (KeyError, ValueError):
        return None
