"""Makers of what the pages show, as the mirrors of other services would stand."""

from datetime import timedelta

from accounts.models import Tenant
from billing.models import Invoice, InvoiceLine, UsageEvent
from millrace.kernel import clock
from millrace.kernel.ids import uuid7
from millrace.kernel.tenancy import platform_scope, tenant_scope
from mlops.models import ModelVersion
from mlops.services.outcomes import Artifact
from mlops.services.registry import version_create
from tests.billing.factories import make_subscription
from tests.mlops.cast import submit


def make_invoice(tenant: Tenant, *, status: str = "paid") -> tuple[Invoice, InvoiceLine]:
    """An invoice with one line of usage and the one event behind it: 412,870 ms, CNY 165.15 and 6 % tax."""
    subscription = make_subscription(tenant)
    end = clock.now()
    period = {"period_start": end - timedelta(days=30), "period_end": end}
    with platform_scope(reason="test data"):
        invoice = Invoice.objects.create(
            tenant=tenant, billing_account=subscription.billing_account, subscription=subscription,
            stripe_id=f"in_{uuid7().hex}", number="MR-0001", status="draft", currency="CNY", subtotal=16_515, tax=991,
            total=17_506, amount_paid=17_506, paid_at=end, **period,
        )  # fmt: skip
        line = InvoiceLine.objects.create(
            tenant=tenant, invoice=invoice, kind="usage", stream="usage", meter="gpu_ms:h100", quantity=412_870,
            amount=16_515, currency="CNY", description="GPU time, h100", detail={"exact": "16514.8"}, **period,
        )  # fmt: skip
        UsageEvent.objects.create(
            tenant=tenant, meter="gpu_ms:h100", quantity=412_870, occurred_at=end, key=uuid7().hex, job_id=uuid7(),
            invoice_line=line,
        )  # fmt: skip
        Invoice.objects.filter(pk=invoice.pk).update(status=status)
        invoice.refresh_from_db()
    return invoice, line


def make_model_version(tenant: Tenant) -> ModelVersion:
    """The outcome of a training job on digits, as its worker would write it, without training: 3 confusions in 30."""
    job = submit(tenant)
    names = job.dataset_version.shape["class_names"]
    counts = [[3 if i == j else 0 for j in range(len(names))] for i in range(len(names))]
    counts[7][7], counts[7][1] = 0, 3
    metrics = {
        "examples": 30, "accuracy": 0.9, "macro_f1": 0.89, "loss": 0.31, "expected_calibration_error": 0.02,
        "per_class": [{"name": one, "examples": 3, "precision": 0.9, "recall": 0.9, "f1": 0.9} for one in names],
        "confusion_matrix": counts,
    }  # fmt: skip
    weights = Artifact(storage_key="sha256/aa/aa/aa", sha256="a" * 64, size=1000)
    with tenant_scope(tenant.pk):
        return version_create(job=job, result={"metrics": metrics}, weights=weights, card="# Card")
