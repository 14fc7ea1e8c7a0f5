"""The sandbox's own controls, for tests, the demo and chaos runs: JSON in, JSON out, no key needed on a laptop."""

import asyncio
import json
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from billing.sandbox.chaos import Chaos
from billing.sandbox.core import Sandbox
from billing.sandbox.errors import StripeError
from billing.sandbox.render import public
from billing.sandbox.resources import checkout
from billing.sandbox.resources.disputes import overturn
from billing.sandbox.resources.events import ensure_endpoint
from billing.sandbox.resources.payment_methods import payment_method_given
from billing.sandbox.resources.refunds import fail_refund
from billing.sandbox.resources.test_clocks import wait_for_endpoints


def _sandbox(request: Request) -> Sandbox:
    return request.app.state.sandbox


async def _json(request: Request) -> dict[str, Any]:
    raw = await request.body()
    try:
        given = json.loads(raw or b"{}")
    except ValueError:
        given = None
    if not isinstance(given, dict):
        raise StripeError("The body must be a JSON object.")
    return given


def _bad(message: str, status: int = 400) -> Response:
    return JSONResponse({"error": {"type": "invalid_request_error", "message": message}}, status)


async def deliveries(request: Request) -> Response:
    """How many deliveries wait, how many arrived, and the last attempts (not with `?pending=1`)."""
    sandbox = _sandbox(request)
    with sandbox.lock:
        hooks = sandbox.webhooks
        answer: dict[str, Any] = {"pending": hooks.pending(), "delivered": hooks.sent}
        answer["failed_attempts"] = hooks.failed_attempts
        if request.query_params.get("pending") != "1":
            answer["recent"] = list(hooks.recent)
    return JSONResponse(answer)


async def flush(request: Request) -> Response:
    """Deliver all that waits, now; answers when the queue is empty or after `timeout` seconds (60)."""
    sandbox = _sandbox(request)
    try:
        timeout = float((await _json(request)).get("timeout", 60))
    except (StripeError, TypeError, ValueError):
        return _bad("timeout must be a number of seconds")
    left = await asyncio.to_thread(sandbox.webhooks.flush, timeout)
    return JSONResponse({"pending": left}, 200 if left == 0 else 504)


async def chaos(request: Request) -> Response:
    """Read or set the faults; what is not named is switched off."""
    sandbox = _sandbox(request)
    if request.method == "POST":
        try:
            sandbox.webhooks.chaos = Chaos.parse(await _json(request))
        except (StripeError, TypeError, ValueError) as error:
            return _bad(str(error))
    return JSONResponse(sandbox.webhooks.chaos.as_dict())


async def clock(request: Request) -> Response:
    """Read the sandbox's clock, or set it with `{"now": epoch}` and do what that makes due; null: real time again."""
    sandbox = _sandbox(request)
    done = 0
    if request.method == "POST":
        try:
            wanted = (await _json(request))["now"]
        except (StripeError, KeyError):
            return _bad('the body must be {"now": epoch seconds}')
        if wanted is None:
            with sandbox.lock:
                sandbox.clock.clear_offset()
        elif isinstance(wanted, int) and 0 < wanted < 2**33:
            done = await asyncio.to_thread(sandbox.set_now, wanted, wait_for_endpoints(sandbox))
        else:
            return _bad("now must be epoch seconds")
    with sandbox.lock:
        return JSONResponse({"now": sandbox.clock.now(), "offset": sandbox.clock.offset, "done": done})


async def endpoint(request: Request) -> Response:
    """Have all events sent to `{"url": …, "secret": …}`, whatever an earlier run left."""
    try:
        given = await _json(request)
        ensure_endpoint(_sandbox(request), str(given["url"]), str(given["secret"]))
    except (StripeError, KeyError):
        return _bad('the body must be {"url": …, "secret": …}')
    return JSONResponse({"url": given["url"]})


async def reset(request: Request) -> Response:
    """Forget everything but the endpoints given at the start."""
    await asyncio.to_thread(_sandbox(request).reset)
    return JSONResponse({"status": "reset"})


async def state(request: Request) -> Response:
    """How much of what there is; `?kind=invoice` lists the objects of one kind."""
    sandbox = _sandbox(request)
    kind = request.query_params.get("kind")
    with sandbox.lock:
        if kind and not kind.startswith("_"):
            rows = [public(row) for row in sandbox.store.all(kind)]
            return JSONResponse({"kind": kind, "count": len(rows), "data": rows})
        counts = sandbox.store.kinds()
        answer = {"counts": counts, "calls": sandbox.calls, "now": sandbox.clock.now()}
        answer |= {"due": sandbox.clock.pending(), "pending_deliveries": sandbox.webhooks.pending()}
    return JSONResponse(answer)


async def checkout_pay(request: Request) -> Response:
    """The buyer's side of Checkout for scripts: `{"payment_method": "pm_card_visa", "email"?, "name"?}`."""
    sandbox = _sandbox(request)
    try:
        given = await _json(request)
        with sandbox.attempt():
            session = sandbox.find("checkout.session", request.path_params["id"])
            method = payment_method_given(sandbox, given.get("payment_method", "pm_card_visa"))
            checkout.pay(sandbox, session, method, given.get("email"), given.get("name"))
            return JSONResponse(public(session))
    except StripeError as error:
        return JSONResponse({"error": error.body}, error.status)


async def refund_fail(request: Request) -> Response:
    """The bank sends a refund back that had succeeded, as banks do days later."""
    sandbox = _sandbox(request)
    try:
        with sandbox.attempt():
            return JSONResponse(public(fail_refund(sandbox, sandbox.find("refund", request.path_params["id"]))))
    except StripeError as error:
        return JSONResponse({"error": error.body}, error.status)


async def dispute_overturn(request: Request) -> Response:
    """The bank's verdict against the merchant is turned round on appeal, as happens weeks later."""
    sandbox = _sandbox(request)
    try:
        with sandbox.attempt():
            return JSONResponse(public(overturn(sandbox, sandbox.find("dispute", request.path_params["id"]))))
    except StripeError as error:
        return JSONResponse({"error": error.body}, error.status)


ROUTES = [
    Route("/_sandbox/deliveries", deliveries),
    Route("/_sandbox/flush", flush, methods=["POST"]),
    Route("/_sandbox/chaos", chaos, methods=["GET", "POST"]),
    Route("/_sandbox/clock", clock, methods=["GET", "POST"]),
    Route("/_sandbox/endpoint", endpoint, methods=["POST"]),
    Route("/_sandbox/reset", reset, methods=["POST"]),
    Route("/_sandbox/state", state),
    Route("/_sandbox/checkout/{id}/pay", checkout_pay, methods=["POST"]),
    Route("/_sandbox/refunds/{id}/fail", refund_fail, methods=["POST"]),
    Route("/_sandbox/disputes/{id}/overturn", dispute_overturn, methods=["POST"]),
]
