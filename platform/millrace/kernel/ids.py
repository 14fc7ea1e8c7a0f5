"""Identifiers: UUIDv7 inside (index-friendly, time-ordered), TypeIDs outside (`job_01h4…`, self-describing)."""

from uuid import UUID

import uuid_utils
import uuid_utils.compat
from typeid import TypeID
from typeid.errors import TypeIDException

from millrace.kernel.errors import NotFound


def uuid7() -> UUID:
    """A new time-ordered identifier."""
    return uuid_utils.compat.uuid7()


def uuid7_texts(count: int) -> list[str]:
    """So many new identifiers as text, for a statement that writes many rows: an object each costs four times as much."""
    return [str(uuid_utils.uuid7()) for _ in range(count)]


def typeid(prefix: str, value: UUID) -> str:
    """The public spelling of an identifier, as in `typeid("job", …) == "job_01h4…"`."""
    return str(TypeID.from_uuid(prefix=prefix, suffix=value))  # type: ignore[arg-type]


def parse(prefix: str, text: object) -> UUID:
    """The identifier behind a public spelling; NotFound when it is of another kind or no TypeID at all, since for the
    caller such a thing does not exist."""
    try:
        parsed = TypeID.from_string(str(text))
    except (TypeIDException, ValueError) as error:
        raise NotFound(f"There is no {prefix} {str(text)[:64]!r}.") from error
    if parsed.prefix != prefix:
        raise NotFound(f"There is no {prefix} {str(text)[:64]!r}.")
    return UUID(bytes=parsed.uuid.bytes)
