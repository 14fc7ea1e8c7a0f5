"""Lists: `{"data": […], "next_cursor": "…"|null}`, newest first, stable while rows are added."""

import base64
import binascii
from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from rest_framework.request import Request

from millrace.kernel.errors import Invalid

_DEFAULT, _LARGEST = 50, 200


def page(request: Request, rows: QuerySet, render: Callable[[Any], Any]) -> dict:
    """One page of `rows` (any model with a UUIDv7 key), by `?cursor=&limit=`."""
    limit = _limit(request)
    rows = rows.order_by("-id")
    cursor = request.query_params.get("cursor")
    if cursor:
        rows = rows.filter(id__lt=_decode(cursor))
    found = list(rows[: limit + 1])
    more = len(found) > limit
    found = found[:limit]
    return {"data": [render(row) for row in found], "next_cursor": _encode(found[-1].pk) if more else None}


def _limit(request: Request) -> int:
    text = request.query_params.get("limit", str(_DEFAULT))
    if not (text.isascii() and text.isdigit() and len(text) <= 9 and 1 <= int(text) <= _LARGEST):
        raise Invalid(f"limit is a whole number from 1 to {_LARGEST}.", field="limit")
    return int(text)


def _encode(key: UUID) -> str:
    return base64.urlsafe_b64encode(key.bytes).decode().rstrip("=")


def _decode(cursor: str) -> UUID:
    try:
        return UUID(bytes=base64.urlsafe_b64decode(cursor.encode() + b"=="))
    except (ValueError, binascii.Error) as error:
        raise Invalid("cursor is not one that this API gave out.", field="cursor") from error
