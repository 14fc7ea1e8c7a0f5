"""Makers of this room's things for tests."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

from django.db import transaction

from accounts.models import Tenant
from billing.models import Subscription
from millrace.kernel import clock, storage
from millrace.kernel.money import Money
from millrace.kernel.tenancy import platform_scope, tenant_scope
from mlops.models import DatasetVersion, DeviceSession, Job, ModelVersion, Prediction, Segment
from mlops.services.datasets import dataset_builtin
from mlops.services.devices import device_register, session_start
from mlops.services.jobs import JobRequest, job_submit
from mlops.services.leases import job_claim
from mlops.services.outcomes import Artifact, Ending, job_finish
from mlops.services.segments import job_segment_open, job_segment_record
from tests.billing.factories import make_subscription
from tests.factories import SYSTEM

QUICK = {"form": "plain", "epochs": 1}


def ready(tenant: Tenant) -> Tenant:
    """The tenant with a paid plan."""
    with platform_scope(reason="test data"):
        subscribed = Subscription.objects.filter(tenant=tenant).exists()
    if not subscribed:
        make_subscription(tenant)
    return tenant


def digits(tenant: Tenant) -> DatasetVersion:
    """scikit-learn's digits as the tenant's data set."""
    with tenant_scope(tenant.pk):
        return dataset_builtin(tenant_id=tenant.pk, builtin="digits", actor=SYSTEM)[0]


def submit(tenant: Tenant, version: DatasetVersion | None = None, **request: Any) -> Job:
    """A queued training job of the tenant."""
    version = version or digits(ready(tenant))
    wanted = {"kind": "train", "recipe": "image-cnn", "params": QUICK, "time_limit_ms": 60_000, **request}
    with tenant_scope(tenant.pk):
        return job_submit(tenant_id=tenant.pk, request=JobRequest(dataset_version=version, **wanted), actor=SYSTEM)


def session(name: str = "", device_class: str = "cpu") -> DeviceSession:
    """A device under supervision."""
    device = device_register(name=name or f"test/{uuid4().hex[:8]}", device_class=device_class)
    return session_start(device=device, worker="test", purpose="jobs")


def claim(on: DeviceSession) -> Job | None:
    """What a worker on that device would get."""
    return job_claim(session=on, worker="test")


@contextmanager
def eyes_of(tenant: Tenant) -> Iterator[Tenant]:
    """Within, see the tenant's rows."""
    with tenant_scope(tenant.pk):
        yield tenant


def fen(amount: int) -> Money:
    """Money of the test's currency."""
    return Money(amount, "CNY")


def now_ms() -> int:
    """The boot clock."""
    return clock.boot_ms()


@contextmanager
def undone() -> Iterator[None]:
    """Within a savepoint, so that a refusal of the database does not spoil the test's transaction."""
    with transaction.atomic():
        yield


def version(tenant: Tenant, *, model_name: str = "digits", accuracy: float = 0.9, **request: Any) -> ModelVersion:
    """A model version as a job's success makes it, without the training: one second of device time, empty weights."""
    job = submit(tenant, model_name=model_name, **request)
    with platform_scope(reason="test data"):
        Job.objects.exclude(pk=job.pk).filter(state="queued").update(not_before="2999-01-01T00:00:00Z")
    held = claim(session())
    assert held is not None
    assert held.pk == job.pk
    start = now_ms()
    weights = b"weights of a test"
    key = storage.content_key(weights, ".safetensors")
    storage.put(key, weights)
    with tenant_scope(tenant.pk):
        job_segment_open(job_id=job.pk, epoch=held.epoch, sequence=0, start_ms=start)
        job_segment_record(job_id=job.pk, epoch=held.epoch, sequence=0, end_ms=start + 1000)
        ending = Ending(
            succeeded=True,
            code="ok",
            result={"metrics": {"accuracy": accuracy}, "examples_per_second": 1000.0},
            artifacts={"weights": Artifact(key, key.split("/")[-1].split(".")[0], len(weights))},
            card="# A card",
            tail_billable=True,
        )
        job_finish(job_id=job.pk, epoch=held.epoch, ending=ending)
        return ModelVersion.objects.select_related("model", "dataset_version").get(job=job)


def prediction(tenant: Tenant, of: ModelVersion | None = None, *, label: str = "7") -> Prediction:
    """An answered request with one blank picture."""
    of = of or version(tenant)
    on, start = session(), now_ms()
    blank = bytes(math.prod(of.shape["input_shape"]))
    with tenant_scope(tenant.pk):
        segment = Segment.objects.create(
            tenant=tenant, kind="serving", session=on, session_lane=on.lane, device=on.device, model_version=of,
            start_ms=start, end_ms=start + 2, disposition="billed", settled_at=clock.now(), meter="cpu_ms",
        )  # fmt: skip
        return Prediction.objects.create(
            tenant=tenant, model_version=of, segment=segment, items=1, inputs=blank, device_ms=2,
            outputs=[{"label": label, "confidence": 0.5, "top": []}], request_hash="0" * 64,
        )  # fmt: skip
