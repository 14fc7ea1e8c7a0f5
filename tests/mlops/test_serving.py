"""Predictions through a real serving process, stored and billed exactly once."""

import asyncio
import json
import time
from typing import Any
from uuid import uuid4

import httpx
import numpy as np
import pytest
from asgiref.sync import async_to_sync
from django.conf import settings
from django.test import Client

from accounts.models import Tenant
from billing.models import UsageEvent
from millrace.kernel import clock, valkey
from millrace.kernel.tenancy import tenant_scope
from mlops.models import DatasetVersion, JobState, ModelVersion, Prediction, Segment
from mlops.recipes import DataShape
from mlops.services.datasets import dataset_open
from mlops.serving import asgi, door
from mlops.serving.messages import GROUP, STREAM, PredictRequest, request_encoder
from mlops.serving.recorder import ServedBatch, batches_record
from tests import factories
from tests.mlops import cast
from tests.mlops.programs import ROOT, job_now, wait_for


@pytest.fixture(autouse=True)
def _forget() -> None:
    """What the door remembers is of another test's tenant."""
    door.memory.forget()
    asgi._callers.forget()


@pytest.fixture
def trained(start_worker: Any, tenant: Tenant) -> ModelVersion:
    """The digits, learned by a job."""
    job = cast.submit(tenant, params={"form": "plain", "epochs": 6, "batch_size": 32}, model_name="digits")
    worker = start_worker()
    wait_for(lambda: job_now(job).state == JobState.SUCCEEDED, worker)
    worker.stop()
    with tenant_scope(tenant.pk):
        return ModelVersion.objects.select_related("model", "dataset_version").get()


def serve(start: Any) -> Any:
    """A serving process."""
    program = start(str(ROOT / "manage.py"), "serve", "--device", "cpu", "--threads", "1")
    wait_for(lambda: "serving on" in program.output(), program)
    return program


def pictures(version: DatasetVersion, count: int) -> tuple[list, list[str]]:
    """Held-out examples and their labels."""
    data = dataset_open(version)
    rows = np.flatnonzero(data.held_out)[:count]
    return data.inputs[rows].tolist(), [data.class_names[data.labels[row]] for row in rows]


def usage(tenant: Tenant, meter: str, model: ModelVersion) -> int:
    """The sum of a meter for a model."""
    with tenant_scope(tenant.pk):
        events = UsageEvent.objects.filter(meter=meter, model_id=model.model_id)
        return sum(event.quantity for event in events)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_predictions_are_right_stored_and_billed_once(
    start: Any,
    api: Any,
    tenant: Tenant,
    trained: ModelVersion,
) -> None:
    program = serve(start)
    inputs, labels = pictures(trained.dataset_version, 60)
    address = f"/v1/models/{trained.model.public_id}/predict"

    whole = api.post(address, {"inputs": inputs})
    assert whole.status_code == 200, (whole.content, program.output())
    said = [output["label"] for output in whole.json()["outputs"]]
    assert sum(a == b for a, b in zip(said, labels, strict=True)) >= 50

    keyed = [api.post(address, {"inputs": inputs[:1]}, key="one") for _ in range(3)]
    assert {answer.json()["id"] for answer in keyed} == {keyed[0].json()["id"]}
    assert keyed[2].headers["Idempotent-Replayed"] == "true"
    conflict = api.post(address, {"inputs": inputs[1:2]}, key="one")
    assert (conflict.status_code, conflict.json()["code"]) == (409, "idempotency_conflict")

    stored = api.get(f"/v1/predictions/{whole.json()['id']}").json()
    assert stored == whole.json()
    later = Client().post(
        address, json.dumps({"inputs": inputs[:1]}), content_type="application/json",
        headers=api.headers | {"Prefer": "respond-async"},
    )  # fmt: skip
    assert later.status_code == 202
    wait_for(lambda: api.get(later.headers["Location"]).status_code == 200, program)
    assert api.get(later.headers["Location"]).json()["outputs"][0]["label"] == said[0]

    assert usage(tenant, "predictions", trained) == 3
    with tenant_scope(tenant.pk):
        segments = list(Segment.objects.filter(kind="serving"))
        assert Prediction.objects.count() == 3
        shares = sum(Prediction.objects.values_list("device_ms", flat=True))
    assert sum(segment.duration_ms for segment in segments) == shares == usage(tenant, "cpu_ms", trained)
    assert program.stop() == 0


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_32_clients_in_front_of_django_and_every_answer_is_theirs(
    start: Any,
    tenant: Tenant,
    trained: ModelVersion,
) -> None:
    program = serve(start)
    inputs, _ = pictures(trained.dataset_version, 32)
    secret = factories.make_api_key(tenant)
    address = f"/v1/models/{trained.model.public_id}/predict"

    async def refuse(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError("the request went on to Django")

    async def ask(client: httpx.AsyncClient, number: int) -> list[dict]:
        answers = []
        for _ in range(5):
            answer = await client.post(address, json={"inputs": [inputs[number]]})
            assert answer.status_code == 200, answer.content
            assert int(answer.headers["RateLimit-Remaining"]) > 0
            answers.append(answer.json()["outputs"][0])
        return answers

    async def all_of_them() -> list[list[dict]]:
        transport = httpx.ASGITransport(asgi.PredictDoor(refuse))
        headers = {"Authorization": f"Bearer {secret}"}
        async with httpx.AsyncClient(
            transport=transport, base_url="http://test", headers=headers, timeout=30
        ) as client:
            try:
                return await asyncio.gather(*(ask(client, number) for number in range(32)))
            finally:
                await door.switchboard().close()

    answers = asyncio.run(all_of_them())

    for mine in answers:
        assert len({json.dumps(output, sort_keys=True) for output in mine}) <= 2  # batches differ in the last bits
        assert len({output["label"] for output in mine}) == 1
    assert usage(tenant, "predictions", trained) == 160
    with tenant_scope(tenant.pk):
        assert Prediction.objects.count() == 160
        assert Segment.objects.filter(kind="serving").count() < 160  # it gathered
    program.stop()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_what_a_killed_process_had_taken_is_answered_by_the_next(
    start: Any,
    tenant: Tenant,
    trained: ModelVersion,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client = valkey.client()
    client.xgroup_create(STREAM, GROUP, id="0", mkstream=True)
    shape = DataShape.from_json(trained.shape)
    requests = [_request(tenant, trained, shape) for _ in range(3)]
    for request in requests:
        client.xadd(STREAM, {"r": request_encoder.encode(request)})
    client.xreadgroup(GROUP, "died", {STREAM: ">"}, count=10)
    on = cast.session("died")
    at = clock.boot_ms()
    batch = ServedBatch((requests[0],), ([{"label": "1", "confidence": 1.0, "top": []}],), at, at + 3)
    batches_record(session=on, meter="cpu_ms", batches=[batch])  # it died between storing and answering
    with client.pipeline() as pipe:  # as if twenty seconds had passed
        for entry in client.xpending_range(STREAM, GROUP, "-", "+", 10):
            pipe.xclaim(STREAM, GROUP, "died", 0, [entry["message_id"]], idle=60_000)
        pipe.execute()

    program = serve(start)
    wait_for(lambda: client.xpending(STREAM, GROUP)["pending"] == 0, program)

    assert usage(tenant, "predictions", trained) == 3
    with tenant_scope(tenant.pk):
        kept = {row.pk: row.outputs for row in Prediction.objects.all()}
    assert set(kept) == {request.id for request in requests}
    assert kept[requests[0].id][0]["label"] == "1"
    assert client.xlen(STREAM) == 0


def test_the_same_request_stored_twice_is_billed_once(tenant: Tenant) -> None:
    version = cast.version(tenant)
    request = _request(tenant, version, DataShape.from_json(version.shape))
    on, at = cast.session(), clock.boot_ms()

    def batch(start_ms: int) -> ServedBatch:
        return ServedBatch((request,), ([{"label": "1"}],), start_ms, start_ms + 2)

    batches_record(session=on, meter="cpu_ms", batches=[batch(at)])
    batches_record(session=on, meter="cpu_ms", batches=[batch(at + 5)])

    assert usage(tenant, "predictions", version) == 1
    with tenant_scope(tenant.pk):
        assert Prediction.objects.count() == 1


BAD = {
    "no inputs": ({"inputs": []}, 422),
    "not a list": ({"inputs": 7}, 422),
    "wrong width": ({"inputs": [[1, 2, 3]]}, 422),
    "not a number": ({"inputs": [[["a"] * 8] * 8]}, 422),
    "out of range": ({"inputs": [[[300] * 8] * 8]}, 422),
    "no picture": ({"inputs": [{"png": "bm8gcGljdHVyZQ=="}]}, 422),
    "too many": ({"inputs": [[[0] * 8] * 8] * 257}, 422),
    "unknown field": ({"inputs": [[[0] * 8] * 8], "x": 1}, 422),
    "missing": ({}, 422),
}


@pytest.mark.parametrize("case", BAD)
@pytest.mark.parametrize("way", ["django", "fast"])
def test_bad_inputs_are_problems_and_nothing_is_queued(api: Any, tenant: Tenant, case: str, way: str) -> None:
    body, status = BAD[case]
    version = cast.version(tenant)
    address = f"/v1/models/{version.model.public_id}/predict"
    refused = api.post(address, body) if way == "django" else _fast(api, address, json.dumps(body).encode())

    assert refused.status_code == status, refused.content
    assert refused.headers["Content-Type"] == "application/problem+json"
    assert valkey.client().xlen(STREAM) == 0
    with tenant_scope(tenant.pk):
        assert not Prediction.objects.exists()


def test_the_fast_door_refuses_as_django_does(api: Any, tenant: Tenant) -> None:
    version = cast.version(tenant)
    address = f"/v1/models/{version.model.public_id}/predict"
    body = json.dumps({"inputs": [[[0] * 8] * 8]}).encode()
    other = factories.make_tenant("Other")
    cast.ready(other)

    assert _fast(api, address, b'{"inputs": ').status_code == 400
    assert _fast(api, address, b'{"inputs": ' + b"[" * 10_000 + b"]" * 10_000 + b"}").status_code in (400, 422)
    assert _fast(api, address, b" " * (settings.DATA_UPLOAD_MAX_MEMORY_SIZE + 1)).status_code == 413
    with pytest.raises(AssertionError, match="went on to Django"):  # which counts whom nobody knows
        _fast(factories.ApiClient("mr_test_nobody_x"), address, body)
    assert _fast(factories.api_client(tenant, ["read"]), address, body).status_code == 403
    assert _fast(factories.api_client(other), address, body).status_code == 404
    assert valkey.client().xlen(STREAM) == 0


def test_without_a_serving_process_the_answer_is_503_and_nothing_is_billed(
    api: Any, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "ANSWER_SECONDS", 0.2)
    monkeypatch.setattr(door, "TRAVEL_SECONDS", 0.1)
    version = cast.version(tenant)

    answer = api.post(f"/v1/models/{version.model.public_id}/predict", {"inputs": [[[0] * 8] * 8]})

    assert (answer.status_code, answer.json()["code"]) == (503, "serving_unavailable")
    assert answer.headers["Retry-After"] == "1"
    assert usage(tenant, "predictions", version) == 0


def _request(tenant: Tenant, version: ModelVersion, shape: DataShape) -> PredictRequest:
    size = int(np.prod(shape.input_shape))
    return PredictRequest(
        uuid4(), tenant.pk, version.model_id, version.pk, version.weights_key, 1, bytes(size), "0" * 64, "nobody",
        time.time() + 600,
    )  # fmt: skip


def _fast(api: Any, address: str, body: bytes) -> httpx.Response:
    """POST through the door in front of Django, which must not be asked."""

    async def refuse(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError("the request went on to Django")

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(asgi.PredictDoor(refuse))
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.post(address, content=body, headers=api.headers)

    return async_to_sync(ask)()
