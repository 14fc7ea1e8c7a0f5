"""`Idempotency-Key`: the first answer to a keyed POST is the answer to all its repetitions.

The key is stored in the same transaction as what the request did: if that fails, the key is free again and nothing
happened (M1). Two requests with one key at the same moment wait for each other on the unique index.
"""

import hashlib
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any
from uuid import UUID

import msgspec
from django.core.files.uploadedfile import UploadedFile
from django.db import transaction
from rest_framework.request import Request
from rest_framework.response import Response

from millrace.api.caller import Caller
from millrace.kernel.errors import Conflict, Invalid
from millrace.kernel.models import IdempotencyRecord
from millrace.kernel.tenancy import platform_scope

_LONGEST_KEY = 255
_encoder = msgspec.json.Encoder(decimal_format="string", enc_hook=str)


class IdempotencyConflict(Conflict):
    """The key was used for another request."""

    code = "idempotency_conflict"
    title = "The Idempotency-Key was used for another request"


class _Refused(Exception):
    """Carries a refusal out of the transaction so that it rolls back."""

    def __init__(self, response: Response) -> None:
        self.response = response


def key_of(request: Request) -> str:
    """The request's key, or nothing; a malformed one is refused."""
    key = request.headers.get("Idempotency-Key", "")
    if len(key) > _LONGEST_KEY or not key.isprintable():
        raise Invalid(f"An Idempotency-Key has 1 to {_LONGEST_KEY} printable characters.", field="Idempotency-Key")
    return key


def run(
    request: Request,
    caller: Caller,
    handler: Callable[[], Response],
    *,
    holds_transaction: bool,
    shown_once: frozenset[str] = frozenset(),
) -> Response:
    """Answer from the record, or run `handler` and record its answer.

    With `holds_transaction` the handler runs inside the record's transaction. A handler that talks to other services
    sets it False: it runs first, is safe to repeat by its own means, and the first recorded answer wins.
    The members of `shown_once` (secrets) are kept out of the record: a replay carries null in their place.
    """
    tenant_id: Any = caller.tenant_id if caller.has_tenant else None
    key, path, body_hash = key_of(request), _stored_path(request, caller), _fingerprint(request.data)
    with _keeping(tenant_id):
        known = IdempotencyRecord.objects.filter(tenant_id=tenant_id, path=path, key=key).first()
    if known is not None:
        return _replay(known, body_hash)
    first = handler() if not holds_transaction else None
    if first is not None and first.status_code >= 400:
        return first
    try:
        with transaction.atomic():
            record = IdempotencyRecord(tenant_id=tenant_id, key=key, path=path, body_hash=body_hash)
            with _keeping(tenant_id):
                IdempotencyRecord.objects.bulk_create([record], ignore_conflicts=True)
                stored = IdempotencyRecord.objects.get(tenant_id=tenant_id, path=path, key=key)
            if stored.pk != record.pk:
                return _replay(stored, body_hash)
            response = first if first is not None else handler()
            if response.status_code >= 400:
                raise _Refused(response)
            stored.status, stored.body = response.status_code, _without(shown_once, _plain(response.data))
            with _keeping(tenant_id):
                stored.save(update_fields=["status", "body"])
            return response
    except _Refused as refused:
        return refused.response


def once(
    *, tenant_id: UUID, place: str, key: str, content: Mapping[str, Any], make: Callable[[], str]
) -> tuple[str, bool]:
    """What a page's form made when it was sent first with this one-time key and this content, and whether that is now.

    `make` answers the made thing's identifier, and runs within the transaction that keeps it: should it raise, the key
    is free again. The same key with other content is another wish: the reader went back and changed it.
    """
    digest = hashlib.sha256(_encoder.encode(sorted(content.items()))).hexdigest()
    record = IdempotencyRecord(tenant_id=tenant_id, key=f"{key}:{digest}", path=place, body_hash=digest)
    with transaction.atomic():
        IdempotencyRecord.objects.bulk_create([record], ignore_conflicts=True)
        stored = IdempotencyRecord.objects.get(tenant_id=tenant_id, path=place, key=record.key)
        if stored.pk != record.pk:
            return str(stored.body), False
        stored.status, stored.body = 201, make()
        stored.save(update_fields=["status", "body"])
        return str(stored.body), True


def _replay(record: IdempotencyRecord, body_hash: str) -> Response:
    if record.body_hash != body_hash:
        raise IdempotencyConflict("Use a new Idempotency-Key for a new request.", field="Idempotency-Key")
    return Response(record.body, status=record.status, headers={"Idempotent-Replayed": "true"})


def _keeping(tenant_id: UUID | None) -> AbstractContextManager[None]:
    """The scope that a record is kept in: the caller's own, or the platform's for a caller without a tenant."""
    return nullcontext() if tenant_id else platform_scope(reason="the answer to somebody without a tenant")


def _stored_path(request: Request, caller: Caller) -> str:
    # The method belongs to the request's identity, and so does a caller whose tenant says nothing of it; a path too
    # long for the column is known by its hash.
    path = (
        f"{request.method} {request.path}" if caller.has_tenant else f"{caller.actor} {request.method} {request.path}"
    )
    return path if len(path) <= _LONGEST_KEY else hashlib.sha256(path.encode()).hexdigest()


def _without(shown_once: frozenset[str], body: Any) -> Any:
    if not shown_once or not isinstance(body, dict):
        return body
    return {name: None if name in shown_once else value for name, value in body.items()}


def _plain(data: Any) -> Any:
    return msgspec.json.decode(_encoder.encode(data))


def _fingerprint(data: Any) -> str:
    digest = hashlib.sha256()
    if hasattr(data, "lists"):  # a form: its fields in order, and the content of its files
        for name, values in sorted(data.lists()):
            for value in values:
                digest.update(name.encode() + b"\0")
                if isinstance(value, UploadedFile):
                    for chunk in value.chunks():
                        digest.update(chunk)
                    value.seek(0)
                else:
                    digest.update(str(value).encode())
    else:
        digest.update(msgspec.json.encode(data, order="sorted"))
    return digest.hexdigest()
