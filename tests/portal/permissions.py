"""What each page of the rooms above accounts asks of its caller."""

from accounts.models import Tenant
from millrace.kernel.tenancy import tenant_scope
from mlops.services.datasets import dataset_builtin
from tests import factories
from tests.guards.permission_table import Row
from tests.mlops.cast import submit
from tests.portal.makers import make_invoice, make_model_version


def _dataset(tenant: Tenant) -> dict[str, str]:
    with tenant_scope(tenant.pk):
        version, _ = dataset_builtin(tenant_id=tenant.pk, builtin="digits", actor=factories.SYSTEM)
        return {"dataset_id": version.dataset.public_id}


def _invoice(tenant: Tenant) -> dict[str, str]:
    invoice, line = make_invoice(tenant)
    return {"invoice_id": invoice.public_id, "line_id": line.public_id}


def _job(tenant: Tenant) -> dict[str, str]:
    return {"job_id": submit(tenant).public_id}


def _model(tenant: Tenant) -> dict[str, str]:
    return {"model_id": make_model_version(tenant).model.public_id}


def _report(tenant: Tenant) -> dict[str, str]:
    return {"name": "channel-revenue"}


ROWS = [
    Row("GET", "/pricing/", "public"),
    Row("GET", "/usage/", "usage.read"),
    Row("GET", "/billing/", "billing.read"),
    Row("POST", "/billing/spend-limit", "billing.write"),
    Row("POST", "/billing/subscribe", "billing.write"),
    Row("POST", "/billing/manage", "billing.write"),
    Row("POST", "/billing/change", "billing.write"),
    Row("POST", "/billing/cancel", "billing.write"),
    Row("GET", "/invoices/", "billing.read"),
    Row("GET", "/invoices/{invoice_id}/", "billing.read", _invoice),
    Row("GET", "/invoices/{invoice_id}/lines/{line_id}/", "billing.read", _invoice),
    Row("GET", "/datasets/", "data.read"),
    Row("GET", "/datasets/new/", "data.read"),
    Row("POST", "/datasets/new/", "data.write"),
    Row("GET", "/datasets/{dataset_id}/", "data.read", _dataset),
    Row("GET", "/jobs/", "jobs.read"),
    Row("GET", "/jobs/new/", "jobs.read"),
    Row("POST", "/jobs/new/", "jobs.write"),
    Row("POST", "/jobs/quote", "jobs.write"),
    Row("GET", "/jobs/{job_id}/", "jobs.read", _job),
    Row("GET", "/jobs/{job_id}/live", "jobs.read", _job),
    Row("POST", "/jobs/{job_id}/cancel", "jobs.write", _job),
    Row("POST", "/jobs/{job_id}/resume", "jobs.write", _job),
    Row("GET", "/models/", "models.read"),
    Row("GET", "/models/{model_id}/", "models.read", _model),
    Row("POST", "/models/{model_id}/promote", "models.write", _model),
    Row("POST", "/survey", "feedback"),
    Row("GET", "/partner/", "partner.read"),
    Row("GET", "/partner/links/", "partner.read"),
    Row("POST", "/partner/links/", "partner.write"),
    Row("POST", "/partner/links/{link_id}/disable", "partner.write"),
    Row("POST", "/partner/codes/{code_id}/disable", "partner.write"),
    Row("GET", "/partner/referrals/", "partner.read"),
    Row("GET", "/partner/earnings/", "partner.read"),
    Row("GET", "/ops/", "ops.read"),
    Row("GET", "/ops/devices/", "ops.read"),
    Row("GET", "/ops/reports/{name}/", "ops.read", _report),
    Row("GET", "/ops/reports/{name}/rows", "ops.read", _report),
    Row("GET", "/ops/attributions/", "ops.read"),
    Row("POST", "/ops/attributions/{attribution_id}/review", "ops.read"),
]
