"""One API request from bytes to bytes: the key, the form, idempotency, the call, expansion, and errors."""

import base64
import hashlib
import hmac
import logging
import time
from typing import Any, NamedTuple

import msgspec

from billing.sandbox import api, params
from billing.sandbox.core import API_VERSION, Sandbox
from billing.sandbox.errors import StripeError, refused
from billing.sandbox.ids import token
from billing.sandbox.render import expand, public

log = logging.getLogger("billing.sandbox")

_KEY_SECONDS = 24 * 3_600


class Answer(NamedTuple):
    """What goes back: HTTP status, JSON bytes, headers."""

    status: int
    body: bytes
    headers: dict[str, str]


def serve(sandbox: Sandbox, method: str, path: str, query: str, headers: Any, body: bytes) -> Answer:
    """Answer `method /v1/{path}`. Everything that changes state happens under the store's lock."""
    request_id = f"req_{token(14)}"
    base = {"Request-Id": request_id, "Stripe-Version": API_VERSION}
    sandbox.calls += 1
    try:
        _authenticate(sandbox, headers)
        found = api.find(method, path)
        if found is None:
            raise StripeError(
                f"Unrecognized request URL ({method}: /v1/{path}). Please see https://stripe.com/docs.",
                status=404,
            )
        entry, idents = found
        text = body.decode("utf-8", "strict") if method == "POST" else query
        given = params.validate(entry.params, params.decode_form(text))
        key = headers.get("idempotency-key") if method == "POST" else None
        base |= {"Idempotency-Key": key} if key else {}
        with sandbox.lock:
            answer = _once(sandbox, key, path, headers, body, lambda: _run(sandbox, entry, given, idents, headers))
    except StripeError as error:
        answer = _error(error)
    except UnicodeDecodeError:
        answer = _error(refused("The request body is not UTF-8.", "parameter_invalid"))
    except Exception:
        log.exception("sandbox failed on %s /v1/%s", method, path)
        answer = _error(_server_error("The sandbox failed; its log has the traceback."))
    return answer._replace(headers=base | answer.headers)


def _authenticate(sandbox: Sandbox, headers: Any) -> None:
    """Bearer or basic; only the sandbox's own test key will do, and a live key is never even compared."""
    header = headers.get("authorization", "")
    scheme, _, value = header.partition(" ")
    if scheme.lower() == "basic":
        try:
            value = base64.b64decode(value).decode().partition(":")[0]
        except ValueError:
            value = ""
    if not value:
        raise StripeError("You did not provide an API key.", status=401)
    if "_live_" in value:
        raise StripeError("A live key was used: the sandbox takes test keys only.", status=401, code="api_key_expired")
    if not hmac.compare_digest(value.encode(), sandbox.secret.encode()):
        raise StripeError(f"Invalid API Key provided: {value[:8]}****{value[-4:]}", status=401)


def _run(sandbox: Sandbox, entry: api.Call, given: dict[str, Any], idents: list[str], headers: Any) -> Answer:
    sandbox.acting_account = headers.get("stripe-account")
    paths = given.pop("expand", [])
    try:
        with sandbox.attempt():
            result = expand(sandbox, public(entry.handler(sandbox, given, *idents)), paths)
        return Answer(200, msgspec.json.encode(result), {})
    except StripeError as error:
        return _error(error)
    finally:
        sandbox.acting_account = None


def _once(sandbox: Sandbox, key: str | None, path: str, headers: Any, body: bytes, run: Any) -> Answer:
    """Run a call, or replay what the same key was answered; chaos may spoil the first answer."""
    if key is None:
        return run()
    account = headers.get("stripe-account", "")
    digest = hashlib.sha256(f"{path}\n{account}\n".encode() + body).hexdigest()
    known = sandbox.store.get("_idempotency", key)
    if known is not None and known["at"] > time.time() - _KEY_SECONDS:
        if known["digest"] != digest:
            raise StripeError(
                "Keys for idempotent requests can only be used with the same parameters they were first used with. Try "
                f"using a key other than '{key}' if you meant to execute a different request.",
                kind="idempotency_error",
            )
        return Answer(known["status"], known["body"].encode(), {"Idempotent-Replayed": "true"})
    answer = run()
    chaos = sandbox.webhooks.chaos
    if answer.status == 200 and chaos.strikes("api_500", key):
        answer = _error(_server_error("chaos: done, and answered 500"))
    row = {"id": key, "digest": digest, "status": answer.status, "body": answer.body.decode(), "at": time.time()}
    sandbox.store.put("_idempotency", row)
    if answer.status == 200 and chaos.strikes("api_lost", key):
        lost = _error(_server_error("chaos: done, and the answer was lost"))
        return lost._replace(headers={"Stripe-Should-Retry": "true"})
    return answer


def _server_error(message: str) -> StripeError:
    return StripeError(message, status=500, kind="api_error")


def _error(error: StripeError) -> Answer:
    return Answer(error.status, msgspec.json.encode({"error": error.body}), {})
