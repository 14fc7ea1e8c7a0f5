"""What each of this room's addresses asks of its caller."""

from accounts.models import Tenant
from tests.guards.permission_table import Row
from tests.mlops import cast


def _dataset(tenant: Tenant) -> dict[str, str]:
    version = cast.digits(tenant)
    with cast.eyes_of(tenant):
        return {"dataset_id": version.dataset.public_id, "number": "1", "row": "0"}


def _job(tenant: Tenant) -> dict[str, str]:
    return {"job_id": cast.submit(tenant).public_id}


def _model(tenant: Tenant) -> dict[str, str]:
    version = cast.version(tenant)
    with cast.eyes_of(tenant):
        return {"model_id": version.model.public_id, "number": "1"}


def _prediction(tenant: Tenant) -> dict[str, str]:
    return {"prediction_id": cast.prediction(tenant).public_id}


_VERSION = "/v1/datasets/{dataset_id}/versions/{number}"
ROWS = [
    Row("GET", "/v1/ops/reports/devices", "ops.read"),
    Row("GET", "/v1/datasets", "data.read"),
    Row("POST", "/v1/datasets", "data.write"),
    Row("GET", "/v1/datasets/{dataset_id}", "data.read", _dataset),
    Row("GET", "/v1/datasets/{dataset_id}/versions", "data.read", _dataset),
    Row("GET", _VERSION, "data.read", _dataset),
    Row("GET", f"{_VERSION}/report", "data.read", _dataset),
    Row("GET", f"{_VERSION}/samples/{{row}}", "data.read", _dataset),
    Row("GET", "/v1/recipes", "models.read"),
    Row("GET", "/v1/recipes/{name}", "models.read"),
    Row("POST", "/v1/quotes", "jobs.write"),
    Row("GET", "/v1/jobs", "jobs.read"),
    Row("POST", "/v1/jobs", "jobs.write"),
    Row("GET", "/v1/jobs/{job_id}", "jobs.read", _job),
    Row("POST", "/v1/jobs/{job_id}/cancel", "jobs.write", _job),
    Row("POST", "/v1/jobs/{job_id}/resume", "jobs.write", _job),
    Row("GET", "/v1/jobs/{job_id}/events", "jobs.read", _job),
    Row("GET", "/v1/jobs/{job_id}/logs", "jobs.read", _job),
    Row("GET", "/v1/jobs/{job_id}/metrics", "jobs.read", _job),
    Row("GET", "/v1/jobs/{job_id}/output", "jobs.read", _job),
    Row("GET", "/v1/models", "models.read"),
    Row("GET", "/v1/models/{model_id}", "models.read", _model),
    Row("GET", "/v1/models/{model_id}/versions", "models.read", _model),
    Row("GET", "/v1/models/{model_id}/versions/{number}", "models.read", _model),
    Row("POST", "/v1/models/{model_id}/promote", "models.write", _model),
    Row("GET", "/v1/models/{model_id}/card", "models.read", _model),
    Row("GET", "/v1/models/{model_id}/download", "models.read", _model),
    Row("POST", "/v1/models/{model_id}/predict", "predict", _model, {"inputs": []}),
    Row("GET", "/v1/predictions/{prediction_id}", "predict", _prediction),
    Row("POST", "/v1/predictions/{prediction_id}/feedback", "feedback", _prediction),
]
