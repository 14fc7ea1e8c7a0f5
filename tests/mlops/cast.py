"""Makers of this room's things for tests."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

from django.db import transaction

from accounts.models import Tenant
from billing.models import Subscription
from millrace.kernel import clock
from millrace.kernel.money import Money
from millrace.kernel.tenancy import platform_scope, tenant_scope
from mlops.models import DatasetVersion, DeviceSession, Job
from mlops.services.datasets import dataset_builtin
from mlops.services.devices import device_register, session_start
from mlops.services.jobs import JobRequest, job_submit
from mlops.services.leases import job_claim
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
