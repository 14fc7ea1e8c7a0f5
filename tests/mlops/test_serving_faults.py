"""What the serving process and its door do when requests repeat, grow old or pile up, and when their parts fail."""

import json
import threading
import time
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
import redis
import torch
from django.test import Client

from accounts.models import Tenant
from billing.models import UsageEvent
from millrace.kernel import clock, valkey
from millrace.kernel.reconcile import run_checks
from millrace.kernel.tenancy import tenant_scope
from mlops.models import ModelVersion, Prediction, Segment
from mlops.recipes import DataShape
from mlops.serving import asgi, door, messages, switchboard
from mlops.serving.messages import GROUP, STREAM, WAITING, PredictRequest, pending_key, request_encoder
from mlops.serving.predictor import TorchPredictor
from mlops.serving.recorder import ServedBatch, batches_record
from mlops.serving.server import DeviceLost, Server
from tests.factories import api_client, make_tenant
from tests.mlops import cast

OUTPUT = [{"label": "1", "confidence": 1.0, "top": []}]


class EvenOdds:
    """Computes without a model: every class alike."""

    def __init__(self, shape: DataShape) -> None:
        self._shape = shape
        self.computed = 0

    def shape(self, request: PredictRequest) -> DataShape:
        return self._shape

    def probabilities(self, request: PredictRequest, inputs: np.ndarray) -> np.ndarray:
        self.computed += len(inputs)
        classes = len(self._shape.class_names)
        return np.full((len(inputs), classes), 1 / classes, dtype=np.float32)


class Broken(EvenOdds):
    """Computes nothing."""

    def probabilities(self, request: PredictRequest, inputs: np.ndarray) -> np.ndarray:
        raise DeviceLost("CUDA error: an illegal memory access was encountered")


@pytest.fixture(autouse=True)
def _forget() -> None:
    """What the door remembers is of another test's tenant."""
    door.memory.forget()
    asgi._callers.forget()


@pytest.fixture
def version(tenant: Tenant) -> ModelVersion:
    """A version that answers."""
    return cast.version(tenant)


def request_of(version: ModelVersion, **changes: Any) -> PredictRequest:
    """A sound request of one picture."""
    values = {
        "id": uuid4(), "tenant_id": version.tenant_id, "model_id": version.model_id, "version_id": version.pk,
        "weights_key": version.weights_key, "items": 1, "inputs": bytes(64), "request_hash": "0" * 64,
        "reply_to": "nobody", "give_up_at": time.time() + 600,
    }  # fmt: skip
    return PredictRequest(**(values | changes))


def server_of(version: ModelVersion, predictor: Any = None) -> Server:
    """A serving process's inside, for the test to turn by hand."""
    made = Server(
        predictor=predictor or EvenOdds(DataShape.from_json(version.shape)),
        session=cast.session(), meter="cpu_ms", consumer="test", stop=threading.Event(),
    )  # fmt: skip
    made._make_group()
    return made


def send(*requests: PredictRequest) -> None:
    """Queue them as the door does."""
    for one in requests:
        valkey.client().xadd(STREAM, {"r": request_encoder.encode(one)})


def write(server: Server) -> None:
    """What the writer's thread would do with what is there."""
    work = []
    while not server._done.empty():
        work.append(server._done.get_nowait())
    server._store_and_answer([done for done in work if done is not None])


def usage(tenant: Tenant) -> dict[str, int]:
    """Usage of serving, by meter."""
    with tenant_scope(tenant.pk):
        found: dict[str, int] = {}
        for event in UsageEvent.objects.filter(model_id__isnull=False):
            found[event.meter] = found.get(event.meter, 0) + event.quantity
        return found


def stretches(tenant: Tenant) -> list[tuple[str, int]]:
    """Disposition and milliseconds of the serving segments, in order."""
    with tenant_scope(tenant.pk):
        return [
            (one.disposition, one.duration_ms) for one in Segment.objects.filter(kind="serving").order_by("start_ms")
        ]


def test_two_requests_of_one_key_in_one_batch_are_one_prediction(tenant: Tenant, version: ModelVersion) -> None:
    one, on, at = request_of(version), cast.session(), clock.boot_ms()

    replies = batches_record(
        session=on, meter="cpu_ms", batches=[ServedBatch((one, one), (OUTPUT, OUTPUT), at, at + 5)]
    )

    assert usage(tenant) == {"predictions": 1, "cpu_ms": 3}
    assert stretches(tenant) == [("billed", 3), ("lost", 2)]
    assert [reply.outputs for reply in replies] == [OUTPUT, OUTPUT]
    assert run_checks(["R1"])[0].differences == []


def test_computed_once_more_the_first_answer_stands_and_the_time_is_the_platforms(
    tenant: Tenant, version: ModelVersion
) -> None:
    one, on, at = request_of(version), cast.session(), clock.boot_ms()
    other = [{"label": "2", "confidence": 0.6, "top": []}]
    batches_record(session=on, meter="cpu_ms", batches=[ServedBatch((one,), (OUTPUT,), at, at + 4)])

    again = batches_record(session=on, meter="cpu_ms", batches=[ServedBatch((one,), (other,), at + 9, at + 11)])

    assert (again[0].outputs, again[0].device_ms) == (OUTPUT, 4)
    assert usage(tenant) == {"predictions": 1, "cpu_ms": 4}
    assert stretches(tenant) == [("billed", 4), ("lost", 2)]
    assert run_checks(["R1"])[0].differences == []


def test_one_key_with_two_bodies_at_once_is_a_conflict_for_the_second(tenant: Tenant, version: ModelVersion) -> None:
    one, at = request_of(version), clock.boot_ms()
    other = request_of(version, id=one.id, request_hash="1" * 64)

    replies = batches_record(
        session=cast.session(), meter="cpu_ms", batches=[ServedBatch((one, other), (OUTPUT, OUTPUT), at, at + 2)]
    )

    assert [(reply.request_hash[0], reply.code) for reply in replies] == [("0", ""), ("1", "idempotency_conflict")]


def test_who_was_told_that_nothing_was_done_is_not_billed(
    tenant: Tenant, version: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, patient = server_of(version), request_of(version)
    send(request_of(version, give_up_at=time.time() + 5), patient)
    server._take()
    late = time.time() + 6
    monkeypatch.setattr(messages.time, "time", lambda: late)

    server._turn()
    write(server)

    assert server._predictor.computed == 1
    assert usage(tenant)["predictions"] == 1
    with tenant_scope(tenant.pk):
        assert Prediction.objects.get().pk == patient.id
    assert valkey.client().xlen(STREAM) == 0


def test_what_waits_here_is_not_taken_for_left(version: ModelVersion) -> None:
    server, client = server_of(version), valkey.client()
    send(request_of(version))
    server._take()
    place = client.xpending_range(STREAM, GROUP, "-", "+", 1)[0]["message_id"]
    client.xclaim(STREAM, GROUP, "test", 0, [place], idle=60_000)

    server._take_over()
    assert len(server._batcher) == 1

    client.xclaim(STREAM, GROUP, "test", 0, [place], idle=60_000)
    server._renew()
    assert client.xautoclaim(STREAM, GROUP, "another", 20_000)[1] == []


def test_no_more_is_taken_than_can_be_held(version: ModelVersion, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlops.serving.server._MOST_HELD", 2)
    monkeypatch.setattr("mlops.serving.server._READ_AT_ONCE", 1)
    server = server_of(version)
    send(request_of(version), request_of(version))

    server._turn()
    server._turn()
    assert valkey.client().xpending(STREAM, GROUP)["pending"] == 1

    write(server)
    server._turn()
    assert server._predictor.computed == 2


def test_a_request_that_cannot_be_read_holds_nobody_up(version: ModelVersion) -> None:
    server = server_of(version)
    valkey.client().xadd(STREAM, {"r": b"of another age"})
    send(request_of(version))

    server._take()

    assert len(server._batcher) == 1
    assert valkey.client().xlen(STREAM) == 1


def test_a_batch_that_cannot_be_stored_holds_nobody_up(tenant: Tenant, version: ModelVersion) -> None:
    server, at = server_of(version), clock.boot_ms()
    unstorable = [{"label": "\0", "confidence": 1.0, "top": []}]
    batches = [
        ServedBatch((request_of(version),), (outputs,), at + start, at + start + 2)
        for start, outputs in ((0, OUTPUT), (4, unstorable), (8, OUTPUT))
    ]

    replies = server._stored(batches)

    assert [reply.code for reply in replies] == ["", "not_stored", ""]
    assert usage(tenant)["predictions"] == 2


def test_a_process_whose_device_is_lost_says_so_and_ends(
    version: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = server_of(version, Broken(DataShape.from_json(version.shape)))
    answers = valkey.client().pubsub(ignore_subscribe_messages=True)
    answers.subscribe("me")
    answers.get_message(timeout=5)
    send(request_of(version, reply_to="me"))

    with pytest.raises(DeviceLost):
        server.run()

    told = messages.reply_decoder.decode(answers.get_message(timeout=5)["data"])
    answers.close()
    assert told[0].code == "model_failed"

    def refuse(*_: object) -> None:
        raise torch.AcceleratorError("CUDA error: device-side assert triggered")

    predictor = TorchPredictor(device="cpu", capacity=1)
    monkeypatch.setattr(predictor._engine, "model", refuse)
    with pytest.raises(DeviceLost, match="device-side assert"):
        predictor.shape(request_of(version))


def ask(api: Any, version: ModelVersion, **headers: str) -> Any:
    """A sound request through the door."""
    address, body = f"/v1/models/{version.model.public_id}/predict", json.dumps({"inputs": [[[0] * 8] * 8]})
    return Client().post(address, body, content_type="application/json", headers=api.headers | headers)


def notes() -> list[bytes]:
    """What is noted of requests that nobody waits for."""
    return list(valkey.client().scan_iter(f"{pending_key(uuid4())[:20]}*"))


@pytest.mark.parametrize("limit", ["waiting", "rate"])
def test_what_is_refused_is_neither_queued_nor_noted(
    api: Any, version: ModelVersion, monkeypatch: pytest.MonkeyPatch, settings: Any, limit: str
) -> None:
    if limit == "waiting":
        monkeypatch.setattr(switchboard, "MOST_WAITING", 0)
    else:
        settings.API_RATE_PER_MINUTE = 0

    answers = [ask(api, version), ask(api, version, Prefer="respond-async")]

    expected = {"waiting": (503, "serving_unavailable"), "rate": (429, "rate_limited")}[limit]
    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [expected, expected]
    assert valkey.client().xlen(STREAM) == 0
    assert notes() == []


def test_what_was_accepted_stays_however_many_come(
    api: Any, version: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(switchboard, "MOST_WAITING", 2)

    codes = [ask(api, version, Prefer="respond-async").status_code for _ in range(4)]

    assert codes == [202, 202, 503, 503]
    assert valkey.client().xlen(STREAM) == len(notes()) == 2


def test_one_tenant_does_not_take_every_place(api: Any, version: ModelVersion, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(switchboard, "MOST_OF_A_TENANT", 2 * messages.weight_of(b""))
    other = make_tenant("Other")
    theirs, server = cast.version(other), server_of(version)

    codes = [ask(api, version, Prefer="respond-async").status_code for _ in range(3)]
    passes = ask(api_client(other), theirs, Prefer="respond-async").status_code

    assert (codes, passes) == ([202, 202, 503], 202)
    for _ in range(2):
        server._turn()
    write(server)
    assert valkey.client().xlen(STREAM) == 0
    assert set(valkey.client().hvals(WAITING)) == {b"0"}
    assert ask(api, version, Prefer="respond-async").status_code == 202


def test_a_repeated_request_that_is_on_its_way_is_queued_once(api: Any, version: ModelVersion) -> None:
    keyed = {"Prefer": "respond-async", "Idempotency-Key": "once"}

    answers = [ask(api, version, **keyed) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [202, 202]
    assert answers[0].json() == answers[1].json()
    assert valkey.client().xlen(STREAM) == 1


def test_with_valkey_away_the_answer_is_503(api: Any, version: ModelVersion, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*_: object, **__: object) -> int:
        raise redis.ConnectionError("gone")

    monkeypatch.setattr(switchboard.Switchboard, "queue", away)

    answer = ask(api, version)

    assert (answer.status_code, answer.json()["code"]) == (503, "serving_unavailable")
