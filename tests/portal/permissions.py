"""What each page of the rooms above accounts asks of its caller."""

from accounts.models import Tenant
from millrace.kernel.tenancy import tenant_scope
from mlops.services.datasets import dataset_builtin
from tests import factories
from tests.guards.permission_table import Row


def _dataset(tenant: Tenant) -> dict[str, str]:
    with tenant_scope(tenant.pk):
        version, _ = dataset_builtin(tenant_id=tenant.pk, builtin="digits", actor=factories.SYSTEM)
        return {"dataset_id": version.dataset.public_id}


ROWS = [
    Row("GET", "/pricing/", "public"),
    Row("GET", "/usage/", "usage.read"),
    Row("GET", "/billing/", "billing.read"),
    Row("POST", "/billing/spend-limit", "billing.write"),
    Row("GET", "/datasets/", "data.read"),
    Row("GET", "/datasets/new/", "data.read"),
    Row("POST", "/datasets/new/", "data.write"),
    Row("GET", "/datasets/{dataset_id}/", "data.read", _dataset),
]
