"""The fast way to a prediction: in front of Django's middleware, for programs with an API key. No torch.

Everything else, and every request without a bearer, goes on to Django, whose view answers the same (mlops.api.predict).
"""

import re
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import msgspec
from django.conf import settings

from accounts.roles import permissions_of_scopes
from accounts.selectors import api_key_by_secret
from millrace.api import problems
from millrace.api.parsers import TooLarge
from millrace.kernel.audit import Actor
from millrace.kernel.errors import Forbidden, Invalid, Problem, Unauthenticated
from millrace.kernel.tenancy import no_scope
from mlops.serving.door import DoorAnswer, Memory, body_decoder, predict

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
_PATH = re.compile(r"/v1/models/([^/]{1,64})/predict")
_encoder = msgspec.json.Encoder()
_callers = Memory()


class Malformed(Problem):
    """The body is not what the door reads."""

    code, status, title = "malformed", 400, "Malformed request."


class KeyCaller(msgspec.Struct, frozen=True):
    """A program and what it may do."""

    tenant_id: UUID
    throttle_key: str
    permissions: frozenset[str]


class PredictDoor:
    """ASGI middleware around Django."""

    def __init__(self, django: Callable[[Scope, Receive, Send], Awaitable[None]]) -> None:
        self._django = django

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One connection."""
        found = _PATH.fullmatch(scope["path"]) if scope["type"] == "http" and scope["method"] == "POST" else None
        headers = dict(scope["headers"]) if found else {}
        if not found or headers.get(b"authorization", b"")[:7].lower() != b"bearer ":
            await self._django(scope, receive, send)
            return
        try:
            answer = await _answer(found[1], headers, receive)
            content_type = b"application/json"
        except Unauthenticated:  # before the body was read; Django counts whom nobody knows by their address
            await self._django(scope, receive, send)
            return
        except Problem as problem:
            answer = DoorAnswer(problem.status, problems.from_problem(problem), _problem_headers(problem))
            content_type = problems.CONTENT_TYPE.encode()
        await _send(send, answer, content_type)


async def _answer(model_id: str, headers: dict[bytes, bytes], receive: Receive) -> DoorAnswer:
    secret = headers[b"authorization"][7:].strip().decode("latin-1")
    caller = await _callers.recall(secret, lambda: _caller(secret))
    if "predict" not in caller.permissions:
        raise Forbidden("This needs the permission 'predict', which your role or key does not have.",
                        permission="predict")  # fmt: skip
    body = await _read(receive)
    try:
        inputs = body_decoder.decode(body).inputs
    except msgspec.ValidationError as wrong:
        raise Invalid(str(wrong), field="inputs") from wrong
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as wrong:
        raise Malformed(f"The body is not valid JSON: {wrong}") from wrong
    return await predict(
        tenant_id=caller.tenant_id,
        throttle_key=caller.throttle_key,
        model_id=model_id,
        inputs=inputs,
        idempotency_key=headers.get(b"idempotency-key", b"").decode("latin-1"),
        respond_async=b"respond-async" in headers.get(b"prefer", b""),
    )


def _caller(secret: str) -> KeyCaller:
    with no_scope():
        key = api_key_by_secret(secret)
        if key is None:
            raise Unauthenticated("The API key is unknown, revoked or has expired.")
        granted = permissions_of_scopes(key.scopes, tenant_kind=key.tenant.kind)
        return KeyCaller(key.tenant_id, str(Actor.api_key(key)), granted)


async def _read(receive: Receive) -> bytes:
    limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    parts, size = [], 0
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Malformed("The connection was closed before the body ended.")
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > limit:
            raise TooLarge(f"A JSON body may have {limit:,} bytes at most.")
        more = message.get("more_body", False)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _problem_headers(problem: Problem) -> dict[str, str]:
    headers = {}
    if "retry_after" in problem.extra:
        headers["Retry-After"] = str(problem.extra["retry_after"])
    return headers


async def _send(send: Send, answer: DoorAnswer, content_type: bytes) -> None:
    body = _encoder.encode(answer.body)
    headers = [(b"content-type", content_type), (b"content-length", str(len(body)).encode())]
    headers += [(name.lower().encode(), value.encode()) for name, value in answer.headers.items()]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
