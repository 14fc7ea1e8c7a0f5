"""What a job may cost: its cap, its items, and the reservation that holds both."""

from typing import Any

import pytest

from accounts.models import Tenant
from billing import selectors as prices
from billing.errors import CurrencyMismatch, FeatureNotInPlan, QuotaExceeded
from billing.models import Plan, Reservation
from billing.services.usage import usage_record
from millrace.kernel import clock, outbox
from millrace.kernel.money import Money
from millrace.kernel.tenancy import no_scope, tenant_scope
from mlops import policy
from mlops.errors import SpendCapTooLow
from mlops.models import Job, ModelVersion
from mlops.services.costs import JobCosts
from mlops.services.jobs import JobRequest, job_check, job_resume
from mlops.services.outcomes import Artifact, Ending, job_finish
from tests.billing.factories import make_subscription
from tests.factories import SYSTEM
from tests.mlops import cast


@pytest.fixture
def trained(tenant: Tenant) -> ModelVersion:
    """A model of a tenant whose plan includes nothing: every item costs."""
    make_subscription(tenant, "studio")
    return cast.version(tenant)


def labelling(version: ModelVersion, **changes: Any) -> dict[str, Any]:
    """A request to label the whole data set."""
    return {"kind": "batch_predict", "recipe": "", "params": {}, "model": version.model} | changes


def test_a_cap_in_another_currency_is_refused(tenant: Tenant) -> None:
    version = cast.digits(cast.ready(tenant))

    with pytest.raises(CurrencyMismatch) as refused:
        cast.submit(tenant, version, spend_cap=Money(100_000, "JPY"))

    assert refused.value.field == "spend_cap"
    with tenant_scope(tenant.pk):
        assert not Job.objects.exists()


def test_the_items_that_a_job_will_predict_are_in_its_price_and_held(tenant: Tenant, trained: ModelVersion) -> None:
    data = trained.dataset_version
    with tenant_scope(tenant.pk):
        items = prices.quote(tenant.pk, "prediction_items", data.rows)
        alone = prices.quote(tenant.pk, "cpu_ms", 60_000)
        request = JobRequest(dataset_version=data, time_limit_ms=60_000, **labelling(trained))
        price = job_check(tenant_id=tenant.pk, request=request).price

    job = cast.submit(tenant, data, **labelling(trained))

    assert items.amount > 0
    assert price.worst_case == alone + items
    assert price.estimate.amount >= items.amount
    with tenant_scope(tenant.pk):
        assert Reservation.objects.get(key=job.reservation_key).amount == price.worst_case.amount


def test_a_cap_pays_for_the_items_first(tenant: Tenant, trained: ModelVersion) -> None:
    data = trained.dataset_version
    with tenant_scope(tenant.pk):
        items = prices.quote(tenant.pk, "prediction_items", data.rows).amount

    with pytest.raises(SpendCapTooLow):
        cast.submit(tenant, data, **labelling(trained, spend_cap=cast.fen(items - 1)))
    job = cast.submit(tenant, data, **labelling(trained, spend_cap=cast.fen(items + 1), time_limit_ms=None))

    with tenant_scope(tenant.pk):
        assert prices.quote(tenant.pk, "cpu_ms", job.limit_ms).amount <= 1


def test_what_a_job_cost_does_not_count_itself_as_used_before(tenant: Tenant) -> None:
    version = cast.version(cast.ready(tenant))
    included = 360_000  # of the plan "starter"
    with tenant_scope(tenant.pk):
        usage_record(tenant_id=tenant.pk, meter="cpu_ms", quantity=included - 1000, occurred_at=clock.now(), key="rest")
        job = Job.objects.get(made=version)
        job.billed_ms = included

        assert prices.quote(tenant.pk, "cpu_ms", included).amount > 0
        assert JobCosts(tenant.pk).of(job).amount == 0
        assert JobCosts(tenant.pk).of(job, open_ms=100_000) == prices.quote(tenant.pk, "cpu_ms", 100_000)


def test_a_done_batch_shows_its_items_in_its_cost(tenant: Tenant, trained: ModelVersion) -> None:
    job = cast.submit(tenant, trained.dataset_version, **labelling(trained))
    held = cast.claim(cast.session())
    assert held is not None
    done = Ending(True, "ok", result={"items": 1797}, artifacts={"predictions": Artifact("sha256/p", "ab" * 32, 10)})
    with tenant_scope(tenant.pk):
        ended = job_finish(job_id=job.pk, epoch=1, ending=done)

        assert JobCosts(tenant.pk).of(ended) == prices.quote(tenant.pk, "prediction_items", 1797)


def test_a_plan_without_fee_labels_no_more_than_its_quota(tenant: Tenant) -> None:
    with no_scope():
        outbox.drain()
    make_subscription(tenant, "starter", status="canceled")
    version = cast.version(tenant)

    with pytest.raises(QuotaExceeded) as refused:
        cast.submit(tenant, version.dataset_version, **labelling(version))

    assert refused.value.extra["meter"] == "prediction_items"
    Plan.objects.update(quotas={"cpu_ms": 10**9, "prediction_items": 10**9})
    with pytest.raises(FeatureNotInPlan, match="batch_predict"):
        cast.submit(tenant, version.dataset_version, **labelling(version))
    with tenant_scope(tenant.pk):
        assert Job.objects.count() == 1


def test_a_new_cap_beyond_measure_is_bounded_like_the_first(tenant: Tenant) -> None:
    job = cast.submit(tenant)
    assert cast.claim(cast.session()) is not None
    with tenant_scope(tenant.pk):
        job_finish(job_id=job.pk, epoch=1, ending=Ending(False, "out_of_memory", "too much"))

        resumed = job_resume(job=job, spend_cap=cast.fen(2**62), actor=SYSTEM)

    assert resumed.limit_ms == policy.LONGEST_JOB_MS
