"""`Idempotency-Key`: the first answer to a keyed POST is the answer to all its repetitions.

The key is stored in the same transaction as what the request did: if that fails, the key is free again and nothing
happened (M1). Two requests with one key at the same moment wait for each other on the unique index.
What talks to other services holds no transaction open meanwhile: its key is claimed before, and let go when it fails.
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
    sets it False: the key is claimed for this body first, the handler is safe to repeat by its own means (after a death
    in between it is), and the first recorded answer wins.
    The members of `shown_once` (secrets) are kept out of the record: a replay carries null in their place.
    """
    tenant_id = caller.tenant_id if caller.has_tenant else None
    fields = {"tenant_id": tenant_id, "path": _stored_path(request, caller), "key": key_of(request)}
    records = _Records(fields, _fingerprint(request.data), shown_once)
    with _keeping(tenant_id):
        known = records.rows().first()
    if known is not None and known.status is not None:
        return records.replay(known)
    return (_within if holds_transaction else _outward)(records, handler)


class _Records:
    """The record of one key: at most one row."""

    def __init__(self, fields: dict[str, Any], body_hash: str, shown_once: frozenset[str]) -> None:
        self.fields, self.body_hash, self.shown_once = fields, body_hash, shown_once
        self.tenant_id = fields["tenant_id"]

    def rows(self) -> Any:
        return IdempotencyRecord.objects.filter(**self.fields)

    def claim(self) -> tuple[IdempotencyRecord, bool]:
        """The key's row, and whether it is new. Waits for whoever has it in an open transaction."""
        record = IdempotencyRecord(body_hash=self.body_hash, **self.fields)
        with _keeping(self.tenant_id):
            IdempotencyRecord.objects.bulk_create([record], ignore_conflicts=True)
            # None: let go of by now. The caller finds that out when it keeps its answer.
            stored = self.rows().first() or record
        return stored, stored.pk == record.pk

    def keep(self, stored: IdempotencyRecord, response: Response) -> None:
        stored.status, stored.body = response.status_code, _without(self.shown_once, _plain(response.data))
        with _keeping(self.tenant_id):
            stored.save(update_fields=["status", "body"])

    def let_go(self) -> None:
        with _keeping(self.tenant_id):
            self.rows().filter(status__isnull=True).delete()

    def replay(self, known: IdempotencyRecord) -> Response:
        self.refuse_another(known)
        return Response(known.body, status=known.status, headers={"Idempotent-Replayed": "true"})

    def refuse_another(self, known: IdempotencyRecord) -> None:
        if known.body_hash != self.body_hash:
            raise IdempotencyConflict("Use a new Idempotency-Key for a new request.", field="Idempotency-Key")


def _within(records: _Records, handler: Callable[[], Response]) -> Response:
    try:
        with transaction.atomic():
            stored, is_new = records.claim()
            if not is_new:
                return records.replay(stored)
            response = handler()
            if response.status_code >= 400:
                raise _Refused(response)
            records.keep(stored, response)
            return response
    except _Refused as refused:
        return refused.response


def _outward(records: _Records, handler: Callable[[], Response]) -> Response:
    records.refuse_another(records.claim()[0])
    try:
        response = handler()
    except BaseException:
        records.let_go()
        raise
    if response.status_code >= 400:
        records.let_go()
        return response
    with transaction.atomic():
        records.claim()
        with _keeping(records.tenant_id):
            stored = records.rows().select_for_update().get()
        if stored.status is not None:  # a twin was faster
            return records.replay(stored)
        records.keep(stored, response)
    return response


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
