"""Jobs and models through the API."""

import asyncio
import io
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import Tenant, User
from millrace.kernel import outbox, valkey
from millrace.kernel.models import OutboxEvent
from millrace.kernel.tenancy import no_scope, platform_scope, tenant_scope
from mlops.api import events
from mlops.models import Feedback, Job, Model, Prediction, Quote
from mlops.services.datasets import dataset_upload
from mlops.services.jobs import job_cancel
from mlops.services.outcomes import Ending, job_finish
from tests import factories
from tests.mlops import cast


@pytest.fixture
def dataset(tenant: Tenant) -> str:
    """The public id of the tenant's digits."""
    version = cast.digits(cast.ready(tenant))
    with tenant_scope(tenant.pk):
        return version.dataset.public_id


def body(of: str, **changes: Any) -> dict:
    """A job that is fine."""
    return {"kind": "train", "recipe": "image-cnn", "dataset": of, "params": cast.QUICK} | changes


def test_recipes_say_what_they_take(api: Any) -> None:
    listed = api.get("/v1/recipes").json()["data"]

    assert [recipe["name"] for recipe in listed] == ["image-cnn"]
    assert listed[0]["params_schema"]["properties"]["epochs"]["maximum"] == 500
    assert api.get("/v1/recipes/image-cnn").json() == listed[0]
    assert api.get("/v1/recipes/none").status_code == 404


def test_a_quote_says_how_it_was_reached_and_the_job_holds_the_same(api: Any, dataset: str) -> None:
    quote = api.post("/v1/quotes", body(dataset)).json()
    job = api.post("/v1/jobs", body(dataset)).json()

    assert quote["meter"] == "cpu_ms"
    assert quote["basis"]["examples"] > 1000
    assert quote["worst_case"] == job["worst_case"]
    assert quote["limit_ms"] == job["limit_ms"]
    assert (job["state"], job["device_ms"], job["cost"]["amount"]) == ("queued", 0, 0)


def test_a_list_of_jobs_asks_as_much_as_one_job(api: Any, dataset: str, django_assert_max_num_queries: Any) -> None:
    for _ in range(3):
        api.post("/v1/jobs", body(dataset))
    with CaptureQueriesContext(connection) as one:
        api.get("/v1/jobs", limit=1)

    with django_assert_max_num_queries(len(one)):
        api.get("/v1/jobs")


def test_submitting_twice_with_one_key_makes_one_job(api: Any, dataset: str, tenant: Tenant) -> None:
    first = api.post("/v1/jobs", body(dataset), key="once")
    again = api.post("/v1/jobs", body(dataset), key="once")
    other = api.post("/v1/jobs", body(dataset, priority=3), key="once")

    assert first.json()["id"] == again.json()["id"]
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_conflict")
    with tenant_scope(tenant.pk):
        assert Job.objects.count() == 1


REFUSED = {
    "unknown recipe": ({"recipe": "magic"}, "recipe_refused", "recipe"),
    "bad parameter": ({"params": {"form": "plain", "epochs": "many"}}, "recipe_refused", "params.epochs"),
    "unknown parameter": ({"params": {"form": "plain", "shell": "rm -rf /"}}, "recipe_refused", "params"),
    "unknown data": ({"dataset": "ds_01h455vb4pex5vsknk084sn02q"}, "invalid", "dataset"),
    "no such device": ({"device": "quantum"}, "device_unknown", "device"),
    "cap too low": ({"spend_cap": {"amount": 0, "currency": "CNY"}}, "spend_cap_too_low", "spend_cap"),
    "unknown kind": ({"kind": "conjure"}, "invalid", "kind"),
    "unknown field": ({"surprise": 1}, "invalid", "surprise"),
    "predict without model": ({"kind": "batch_predict"}, "invalid", "model"),
    "deep parameters": ({"params": {"form": [[[[]]]]}}, "recipe_refused", "params.form"),
    "infinite time": ({"time_limit_seconds": 10**12}, "invalid", "time_limit_seconds"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_jobs_are_problems_and_leave_nothing(api: Any, dataset: str, tenant: Tenant, case: str) -> None:
    changes, code, field = REFUSED[case]

    for door in ("/v1/jobs", "/v1/quotes"):
        refused = api.post(door, body(dataset, **changes))

        assert refused.status_code == 422, refused.content
        assert (refused.json()["code"], refused.json()["field"]) == (code, field)
    with tenant_scope(tenant.pk):
        assert not Job.objects.exists()
        assert not Quote.objects.exists()


def test_without_a_plan_a_long_job_is_refused_with_402(api: Any, tenant: Tenant) -> None:
    with no_scope():
        outbox.drain()
    version = cast.digits(tenant)
    with tenant_scope(tenant.pk):
        dataset = version.dataset.public_id

    refused = api.post("/v1/jobs", body(dataset, time_limit_seconds=604_800))

    assert (refused.status_code, refused.json()["code"]) == (402, "quota_exceeded")
    with tenant_scope(tenant.pk):
        assert not Job.objects.exists()


def test_the_event_stream_ends_with_the_job_and_resumes(api: Any, tenant: Tenant, real_db: None) -> None:
    job = cast.submit(tenant)
    with tenant_scope(tenant.pk):
        job_cancel(job=job, actor=factories.SYSTEM)

    async def read(parts: Any) -> bytes:
        return b"".join([part async for part in parts])

    def stream(**headers: str) -> str:
        answer = Client().get(
            f"/v1/jobs/{job.public_id}/events", headers=api.headers | {"Accept": "text/event-stream"} | headers
        )
        assert answer["Content-Type"] == "text/event-stream"
        return async_to_sync(read)(answer.streaming_content).decode()

    whole, rest = stream(), stream(**{"Last-Event-ID": "2"})

    assert [line for line in whole.splitlines() if line.startswith("id:")] == ["id: 1", "id: 2", "id: 3"]
    assert '"state":"canceled"' in whole
    assert [line for line in rest.splitlines() if line.startswith("id:")] == ["id: 3"]
    assert whole.endswith("event: end\ndata: {}\n\n")


def test_a_long_story_is_told_without_waiting_for_news(
    api: Any, tenant: Tenant, real_db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def wait(nudges: object) -> None:
        raise AssertionError("more lines are there")

    async def read(parts: Any) -> bytes:
        return b"".join([part async for part in parts])

    monkeypatch.setattr(events, "_MOST_AT_ONCE", 2)
    monkeypatch.setattr(events, "_nudge", wait)
    job = cast.submit(tenant)
    with tenant_scope(tenant.pk):
        job_cancel(job=job, actor=factories.SYSTEM)

    answer = Client().get(f"/v1/jobs/{job.public_id}/events", headers=api.headers)
    told = async_to_sync(read)(answer.streaming_content)

    assert told.count(b"id: ") == 3
    assert told.endswith(b"event: end\ndata: {}\n\n")


def test_a_watcher_that_leaves_leaves_nothing_and_makes_room(
    api: Any, tenant: Tenant, real_db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "_MOST_OF_A_TENANT", 1)
    job = cast.submit(tenant)
    address, channel = f"/v1/jobs/{job.public_id}/events", events.channel_of(job.pk)

    def watchers() -> int:
        return dict(valkey.client().pubsub_numsub(channel))[channel.encode()]

    with asyncio.Runner() as loop:
        stream = events._stream(tenant.pk, job.pk, 0)
        loop.run(anext(stream))  # type: ignore[arg-type]
        assert (watchers(), Client().get(address, headers=api.headers).status_code) == (1, 429)
        loop.run(stream.aclose())  # type: ignore[attr-defined]

    assert watchers() == 0
    assert Client().get(address, headers=api.headers).status_code == 200


def test_cancel_and_resume_through_the_doors(api: Any, tenant: Tenant) -> None:
    job = cast.submit(tenant)
    held = cast.claim(cast.session())
    assert held is not None
    base = f"/v1/jobs/{job.public_id}"
    with tenant_scope(tenant.pk):
        job_finish(job_id=job.pk, epoch=1, ending=Ending(False, "out_of_memory", "too much"))

    assert api.get(base).json()["reason_code"] == "out_of_memory"
    assert api.post(f"{base}/resume").json()["state"] == "queued"
    assert api.post(f"{base}/cancel").json()["state"] == "canceled"
    refused = api.post(f"{base}/resume")
    assert (refused.status_code, refused.json()["code"]) == (409, "job_state")
    assert [row["id"] for row in api.get("/v1/jobs", state="canceled").json()["data"]] == [job.public_id]
    assert api.get("/v1/jobs", state="flying").status_code == 422
    assert api.get(f"{base}/output").status_code == 409


def test_models_versions_card_download_and_promotion(api: Any, tenant: Tenant) -> None:
    first = cast.version(tenant)
    cast.version(tenant, accuracy=0.99)
    base = f"/v1/models/{first.model.public_id}"

    model = api.get(base).json()
    versions = api.get(f"{base}/versions").json()["data"]
    download = api.get(f"{base}/download")

    assert model["champion"] == {"version": 1, "metric": "accuracy", "value": 0.9}
    assert [(v["number"], v["champion"]) for v in versions] == [(2, False), (1, True)]
    assert versions[0]["device_ms"] == 1000
    assert b"".join(download.streaming_content) == b"weights of a test"
    assert api.get(f"{base}/card", version=2).json()["markdown"] == "# A card"

    promoted = api.post(f"{base}/promote", {"version": 2}).json()
    api.post(f"{base}/promote", {"version": 2})

    assert promoted["champion"]["version"] == 2
    with platform_scope(reason="assert"):
        told = OutboxEvent.objects.filter(topic="model.promoted").order_by("id")
        assert [event.payload["version"] for event in told] == [1, 2]
    assert api.post(f"{base}/promote", {"version": 9}).json()["field"] == "version"


def test_feedback_is_kept_and_becomes_a_data_set_version(api: Any, tenant: Tenant) -> None:
    prediction = cast.prediction(tenant)
    door = f"/v1/predictions/{prediction.public_id}/feedback"

    given = api.post(door, {"correct": False, "label": "3", "rating": 2})

    assert given.status_code == 201
    with tenant_scope(tenant.pk):
        model_id = Model.objects.get().public_id
    made = api.post("/v1/datasets", {"corrections_of": model_id})
    assert made.status_code == 201, made.content
    assert (made.json()["number"], made.json()["rows"]) == (2, 1798)
    with platform_scope(reason="assert"):
        assert OutboxEvent.objects.filter(topic="prediction.feedback").count() == 1


def test_corrections_of_a_version_that_took_other_pictures_are_left_out(api: Any, tenant: Tenant) -> None:
    before = cast.prediction(tenant)
    old = before.model_version
    api.post(f"/v1/predictions/{before.public_id}/feedback", {"correct": False, "label": "3"})
    large = b"".join(b'{"label":%d,"image":%s}\n' % (n % 10, str([[n] * 9] * 9).encode()) for n in range(200))
    with tenant_scope(tenant.pk):
        wide, _ = dataset_upload(
            tenant_id=tenant.pk, name="wide", source=io.BytesIO(large), format="jsonl", actor=factories.SYSTEM
        )
    new = cast.version(tenant, version=wide, model=old.model)
    api.post(f"/v1/models/{old.model.public_id}/promote", {"version": new.number})
    after = cast.prediction(tenant, new)
    api.post(f"/v1/predictions/{after.public_id}/feedback", {"correct": True})

    made = api.post("/v1/datasets", {"corrections_of": old.model.public_id})

    assert (made.status_code, made.json()["rows"]) == (201, 201)


@pytest.mark.parametrize(
    "wrong",
    [
        {"correct": "maybe"},
        {"correct": False, "label": "elephant"},
        {"correct": True, "label": "3"},
        {"correct": True, "item": 1},
        {"correct": True, "rating": 6},
        {},
    ],
)
def test_bad_feedback_is_refused(api: Any, tenant: Tenant, wrong: dict) -> None:
    prediction = cast.prediction(tenant)

    refused = api.post(f"/v1/predictions/{prediction.public_id}/feedback", wrong)

    assert refused.status_code == 422
    with tenant_scope(tenant.pk):
        assert not Feedback.objects.exists()
        assert Prediction.objects.count() == 1


def test_a_stranger_finds_none_of_it(api: Any, tenant: Tenant, charlie: User) -> None:
    version = cast.version(tenant)
    with platform_scope(reason="test"):
        other = Tenant.objects.exclude(pk=tenant.pk).get()
        job_id = Job.objects.get().public_id
    stranger = factories.api_client(other)

    assert stranger.get("/v1/models").json()["data"] == []
    for path in (f"/v1/models/{version.model.public_id}/download", f"/v1/jobs/{job_id}", f"/v1/jobs/{job_id}/events"):
        assert stranger.get(path).status_code == 404
    refused = stranger.post("/v1/jobs", {"kind": "evaluate", "dataset": "ds_x", "model": version.model.public_id})
    assert refused.status_code == 422
