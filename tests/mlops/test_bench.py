"""What `make bench` sets up before it measures."""

import pytest

from mlops import bench
from mlops.models import JobState


@pytest.mark.usefixtures("real_db", "own_store")
def test_the_benchs_tenant_may_train_the_model_that_is_measured() -> None:
    tenant, secret = bench._tenant()

    job = bench._submitted(tenant)

    assert secret.startswith("mr_")
    assert job.state == JobState.QUEUED
