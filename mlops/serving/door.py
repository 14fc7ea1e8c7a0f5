"""The web's side of online prediction: who may, is the input sound, queue it, wait for the answer. No torch.

What rarely changes is remembered for moments in this process: a key that is revoked, a plan that runs out or a
champion that is replaced takes effect within twice `_MEMORY_SECONDS`.
"""

import asyncio
import hashlib
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID, uuid5

import msgspec
import numpy as np
import redis
from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import connection

from billing.services.entitlements import check
from millrace.api.idempotency import IdempotencyConflict
from millrace.kernel import ids
from millrace.kernel.errors import Invalid, Problem, TooManyRequests
from millrace.kernel.tenancy import no_scope, tenant_scope
from mlops import selectors
from mlops.errors import InputsInvalid, ModelWithoutChampion, ServingBusy
from mlops.models import Prediction
from mlops.recipes import DataShape
from mlops.serving.inputs import InputInvalid, decode_inputs
from mlops.serving.messages import ANSWER_SECONDS, PENDING_SECONDS, TRAVEL_SECONDS, PredictReply, PredictRequest
from mlops.serving.switchboard import Switchboard, switchboard

Answer = TypeVar("Answer")
_MEMORY_SECONDS = 2.0
_MOST_REMEMBERED = 10_000
_WINDOW_SECONDS = 60
# Values that are read in a millisecond or two.
_QUICKLY_READ = 16_384
_KEYED = UUID("6f1d2c1e-7b53-4a5e-9d0f-6d4f1f1b0a77")
LONGEST_KEY = 255


class PredictBody(msgspec.Struct, forbid_unknown_fields=True):
    """`{"inputs": […]}`."""

    inputs: list[Any]


body_decoder = msgspec.json.Decoder(PredictBody)


@dataclass(frozen=True, slots=True)
class Served:
    """What is known of a model that answers."""

    model_id: UUID
    version_id: UUID
    number: int
    weights_key: str
    shape: DataShape


@dataclass(frozen=True, slots=True)
class DoorAnswer:
    """Status, JSON body and extra headers."""

    status: int
    body: dict[str, Any]
    headers: dict[str, str]


class Memory:
    """Answers of a slow question, kept for moments. A refusal (Problem) is an answer too.

    However many ask at once, the question is put once; who asks while it is put anew gets the answer before, as long
    as that is not older than twice the time.
    """

    def __init__(self) -> None:
        self._kept: dict[Any, tuple[float, Any]] = {}
        self._asking: dict[Any, asyncio.Task[Any]] = {}

    async def recall(self, key: Any, ask: Callable[[], Answer]) -> Answer:
        """The kept answer, or `ask`ed anew in a thread."""
        at, kept = self._kept.get(key, (float("-inf"), None))
        age = time.monotonic() - at
        if age >= _MEMORY_SECONDS:
            task = self._ask(key, ask)
            if age >= 2 * _MEMORY_SECONDS:
                kept = await asyncio.shield(task)
        if isinstance(kept, Problem):
            raise kept
        return kept

    def _ask(self, key: Any, ask: Callable[[], Answer]) -> "asyncio.Task[Any]":
        task = self._asking.get(key)
        if task is None or task.done() or task.get_loop() is not asyncio.get_running_loop():
            task = self._asking[key] = asyncio.create_task(self._refresh(key, ask))
        return task

    async def _refresh(self, key: Any, ask: Callable[[], Answer]) -> Answer | Problem:
        try:
            found = await sync_to_async(_asked, thread_sensitive=True)(ask)
            if len(self._kept) >= _MOST_REMEMBERED:
                self._kept.clear()
            self._kept[key] = (time.monotonic(), found)
            return found
        finally:
            self._asking.pop(key, None)

    def forget(self) -> None:
        """Ask everything anew."""
        self._kept.clear()
        self._asking.clear()


memory = Memory()


def _asked(ask: Callable[[], Answer]) -> Answer | Problem:
    try:
        return ask()
    except Problem as refusal:
        return refusal
    finally:
        if not connection.in_atomic_block:
            connection.close()


async def predict(
    *,
    tenant_id: UUID,
    throttle_key: str,
    model_id: str,
    inputs: list[Any],
    idempotency_key: str = "",
    respond_async: bool = False,
) -> DoorAnswer:
    """Predict with the tenant's model. Raises Problem; then nothing was computed or billed."""
    served = await memory.recall(("model", tenant_id, model_id), lambda: _served(tenant_id, model_id))
    await memory.recall(("may", tenant_id), lambda: _may_predict(tenant_id))
    request_id = ids.uuid7()
    array = await _decoded(inputs, served.shape)
    packed = array.tobytes()
    request_hash = hashlib.sha256(packed).hexdigest()
    if idempotency_key:
        if len(idempotency_key) > LONGEST_KEY or not idempotency_key.isprintable():
            raise Invalid(f"An Idempotency-Key has 1 to {LONGEST_KEY} printable characters.", field="Idempotency-Key")
        request_id = uuid5(_KEYED, f"{tenant_id}/{model_id}/{idempotency_key}")
        known = await _database(lambda: _known(tenant_id, request_id))
        if known is not None:
            return _replay(known, request_hash)
    board = switchboard()
    request = PredictRequest(
        id=request_id,
        tenant_id=tenant_id,
        model_id=served.model_id,
        version_id=served.version_id,
        weights_key=served.weights_key,
        items=len(array),
        inputs=packed,
        request_hash=request_hash,
        reply_to="" if respond_async else board.channel,
        give_up_at=time.time() + (PENDING_SECONDS if respond_async else ANSWER_SECONDS),
    )
    if respond_async:
        return await _leave(board, request, throttle_key)
    reply, limits = await _ask(board, request, throttle_key)
    body = _body(request_id, served, reply.outputs, reply.device_ms)
    return DoorAnswer(200, body, limits)


async def _decoded(inputs: list[Any], shape: DataShape) -> np.ndarray:
    """The inputs as an array. Many or large ones are read in a thread: the loop belongs to every tenant's requests."""
    try:
        if len(inputs) * math.prod(shape.input_shape) <= _QUICKLY_READ:
            return decode_inputs(inputs, shape)
        return await asyncio.to_thread(decode_inputs, inputs, shape)
    except InputInvalid as wrong:
        raise InputsInvalid(wrong.detail, field="inputs", reason=wrong.code, index=wrong.index) from wrong


async def _ask(board: Switchboard, request: PredictRequest, throttle_key: str) -> tuple[PredictReply, dict[str, str]]:
    """Queue the request and wait for its answer."""
    answer = await board.expect(request)
    try:
        limits = await _queue(board, request, throttle_key)
        async with asyncio.timeout(ANSWER_SECONDS + TRAVEL_SECONDS):
            reply = await answer
    except TimeoutError as late:
        raise ServingBusy("No serving process answered in time; try again.", retry_after=1) from late
    except asyncio.CancelledError:
        if answer.cancelled():
            raise ServingBusy("The connection to the serving processes broke; try again.", retry_after=1) from None
        raise
    finally:
        board.forget(request, answer)
    if reply.code == IdempotencyConflict.code:
        raise _conflict()
    if reply.code:
        raise ServingBusy(reply.detail, reason=reply.code, retry_after=5)
    return reply, limits


async def _leave(board: Switchboard, request: PredictRequest, throttle_key: str) -> DoorAnswer:
    """Queue the request and let its sender fetch the answer."""
    limits = await _queue(board, request, throttle_key)
    public_id = ids.typeid(Prediction.PREFIX, request.id)
    address = f"/v1/predictions/{public_id}"
    return DoorAnswer(202, {"id": public_id, "state": "pending"}, limits | {"Location": address})


async def _queue(board: Switchboard, request: PredictRequest, throttle_key: str) -> dict[str, str]:
    """Count and queue; returns the rate limit's fields. TooManyRequests over the limit, ServingBusy when too many wait."""
    limit, now = settings.API_RATE_PER_MINUTE, time.time()
    window = int(now // _WINDOW_SECONDS)
    reset = max(1, round((window + 1) * _WINDOW_SECONDS - now))
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            used = await board.queue(request, rate_key=f"millrace:rate:{throttle_key}:{window}")
    except (redis.RedisError, TimeoutError) as gone:
        raise ServingBusy("The serving processes are out of reach; try again.", retry_after=5) from gone
    if used < 0:
        raise ServingBusy("Too many requests wait already; try again.", retry_after=5)
    if used > limit:
        raise TooManyRequests(f"{limit} requests a minute are allowed.", retry_after=reset)
    return {"RateLimit-Limit": str(limit), "RateLimit-Remaining": str(limit - used), "RateLimit-Reset": str(reset)}


async def _database(ask: Callable[[], Answer]) -> Answer:
    found = await sync_to_async(_asked, thread_sensitive=True)(ask)
    if isinstance(found, Problem):
        raise found
    return found


def _served(tenant_id: UUID, public_id: str) -> Served:
    with no_scope(), tenant_scope(tenant_id):
        model = selectors.model(tenant_id, public_id)
        champion = model.champion
        if champion is None:
            raise ModelWithoutChampion(f"{model.name} has no version yet.")
        return Served(model.pk, champion.pk, champion.number, champion.weights_key, DataShape.from_json(champion.shape))


def _may_predict(tenant_id: UUID) -> None:
    with no_scope(), tenant_scope(tenant_id):
        check(tenant_id=tenant_id, meter="predictions", quantity=1)


def _known(tenant_id: UUID, prediction_id: UUID) -> Prediction | None:
    with no_scope(), tenant_scope(tenant_id):
        found = Prediction.objects.select_related("model_version__model").filter(pk=prediction_id)
        return found.first()


def _replay(known: Prediction, request_hash: str) -> DoorAnswer:
    if known.request_hash != request_hash:
        raise _conflict()
    return DoorAnswer(200, body_of(known), {"Idempotent-Replayed": "true"})


def _conflict() -> IdempotencyConflict:
    return IdempotencyConflict("Use a new Idempotency-Key for a new request.", field="Idempotency-Key")


def body_of(prediction: Prediction) -> dict[str, Any]:
    """A stored prediction as it was answered."""
    version = prediction.model_version
    served = Served(version.model_id, version.pk, version.number, "", DataShape("", (), (), 0))
    return _body(prediction.pk, served, prediction.outputs, prediction.device_ms)


def _body(prediction_id: UUID, served: Served, outputs: list[dict], device_ms: int) -> dict[str, Any]:
    return {
        "id": ids.typeid(Prediction.PREFIX, prediction_id),
        "state": "succeeded",
        "model": ids.typeid("mdl", served.model_id),
        "version": served.number,
        "outputs": outputs,
        "device_ms": device_ms,
    }
