"""Train, evaluate and predict a whole data set through one worker, rung by Celery; and what devices it finds."""

import json
import time
from typing import Any

import pytest
from celery import current_app
from django.conf import settings

from accounts.models import Tenant
from billing.models import UsageEvent
from billing.services.usage import Usage, usage_check
from millrace.kernel import clock, reconcile, valkey
from millrace.kernel.tenancy import tenant_scope
from mlops import doorbell, policy
from mlops.models import Job, JobState, Model
from mlops.tasks import look
from mlops.worker.discovery import DeviceLock, _visible, class_of, parse_gpus
from tests.mlops import cast
from tests.mlops.programs import job_now, wait_for

SLICED = """GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-11111111-2222-3333-4444-555555555555)
  MIG 1g.10gb     Device  0: (UUID: MIG-aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee)
  MIG 3g.40gb     Device  1: (UUID: MIG-ffffffff-bbbb-cccc-dddd-eeeeeeeeeeee)
GPU 1: NVIDIA H200 (UUID: GPU-66666666-2222-3333-4444-555555555555)
"""


def end_of(job: Job, worker: Any) -> Job:
    """The job, once it rests."""
    wait_for(lambda: job_now(job).finished_at, worker)
    return job_now(job)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_train_evaluate_and_predict_a_whole_data_set(start_worker: Any, tenant: Tenant, api: Any) -> None:
    worker = start_worker()
    data = cast.digits(cast.ready(tenant))
    trained = end_of(cast.submit(tenant, data, params={"form": "plain", "epochs": 4}), worker)
    assert trained.state == JobState.SUCCEEDED, trained.reason
    with tenant_scope(tenant.pk):
        model = Model.objects.select_related("champion").get()
    use = {"model": model, "params": {}, "recipe": ""}

    evaluated = end_of(cast.submit(tenant, data, kind="evaluate", **use), worker)
    predicted = end_of(cast.submit(tenant, data, kind="batch_predict", **use), worker)

    assert (evaluated.state, predicted.state) == (JobState.SUCCEEDED, JobState.SUCCEEDED)
    assert evaluated.result["metrics"]["accuracy"] == pytest.approx(model.champion.metrics["accuracy"])
    output = api.get(f"/v1/jobs/{predicted.public_id}/output")
    lines = [json.loads(line) for line in b"".join(output.streaming_content).splitlines()]
    assert [line["row"] for line in lines] == list(range(1797))
    with tenant_scope(tenant.pk):
        items = UsageEvent.objects.get(meter="prediction_items")
    assert (items.quantity, items.job_id, items.model_id) == (1797, predicted.pk, model.pk)
    metrics = api.get(f"/v1/jobs/{trained.public_id}/metrics").json()["data"]
    assert {row["epoch"] for row in metrics if row["name"] == "held_out_accuracy"} == {1, 2, 3, 4}
    worker.stop()
    assert reconcile.run_checks(["R1"])[0].differences == []


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_celery_rings_the_worker_and_a_ring_names_no_job(start_worker: Any, tenant: Tenant) -> None:
    worker = start_worker()
    wait_for(lambda: "devices:" in worker.output(), worker)
    with current_app.connection_for_write(settings.VALKEY_URL) as broker:
        for _ in range(3):
            look.apply_async(queue="jobs.cpu", connection=broker)

    wait_for(lambda: valkey.client().llen("jobs.cpu") == 0, worker)
    assert worker.stop() == 0


def test_j1_a_ring_wakes_the_devices_however_often_it_is_delivered() -> None:
    seen = doorbell.wait(-1, 0)

    look()
    look()
    began = time.monotonic()
    rung = doorbell.wait(seen, 30)

    assert time.monotonic() - began < 5
    assert rung == seen + 2
    assert doorbell.wait(rung, 0.01) == rung


def test_j9_a_slice_of_a_gpu_has_a_class_and_a_meter_of_its_own() -> None:
    found = parse_gpus(SLICED)

    assert [device.device_class for device in found] == ["h100-1g.10gb", "h100-3g.40gb", "h200"]
    assert len({policy.meter_of(device.device_class) for device in found}) == 3
    assert all("GPU-1111" not in device.environment["CUDA_VISIBLE_DEVICES"] for device in found)
    assert class_of("NVIDIA GeForce RTX 4090") == "rtx-4090"
    assert class_of("Tesla T4") == "t4"


@pytest.mark.parametrize(
    ("card", "profile", "expected"),
    [
        ("NVIDIA H100 80GB HBM3", "1g.10gb+me", "h100-1g.10gb-me"),
        ("NVIDIA RTX PRO 6000 Blackwell Server Edition", "1g.24gb+me.all", "rtx-pro-6000-blac-1g.24gb-me.all"),
    ],
)
def test_a_slice_of_any_profile_has_a_meter_that_usage_takes(card: str, profile: str, expected: str) -> None:
    listed = f"GPU 0: {card} (UUID: GPU-11111111-2222)\n  MIG {profile}  Device  0: (UUID: MIG-aaaaaaaa-bbbb)\n"

    found = parse_gpus(listed)

    assert [device.device_class for device in found] == [expected]
    usage_check(Usage(policy.meter_of(expected), 1, clock.now(), "key"))


@pytest.mark.parametrize(
    ("wanted", "places"),
    [
        (None, [0, 1, 2]), ("", []), ("-1", []), ("NoDevFiles", []), ("1", [1]), ("2,0", [2, 0]), ("0,7,1", [0]),
        ("GPU-6666", [2]), ("MIG-", []), ("MIG-ffffffff-bbbb-cccc-dddd-eeeeeeeeeeee,2", [1, 2]),
    ],
)  # fmt: skip
def test_a_worker_uses_the_gpus_that_cuda_would_show_it(wanted: str | None, places: list[int]) -> None:
    found = parse_gpus(SLICED.replace("GPU-66666666-2222", "GPU-66666666-1222"))

    assert _visible(found, wanted) == [found[place] for place in places]


def test_a_device_is_held_by_one_process_at_a_time(tmp_path: Any) -> None:
    first = DeviceLock.take(tmp_path, "machine/cpu/0")
    assert first is not None

    assert DeviceLock.take(tmp_path, "machine/cpu/0") is None
    first.release()
    assert DeviceLock.take(tmp_path, "machine/cpu/0") is not None
