"""This room's pages."""

from django.urls import path

from millrace.portal import navigation
from millrace.portal.navigation import STAFF, Entry
from mlops.portal import datasets, jobs, models, ops, panel

urlpatterns = [
    path("datasets/", datasets.index, name="mlops_datasets"),
    path("datasets/new/", datasets.new, name="mlops_dataset_new"),
    path("datasets/<str:dataset_id>/", datasets.detail, name="mlops_dataset"),
    path("jobs/", jobs.index, name="mlops_jobs"),
    path("jobs/new/", jobs.new, name="mlops_job_new"),
    path("jobs/quote", jobs.quote, name="mlops_job_quote"),
    path("jobs/<str:job_id>/", jobs.detail, name="mlops_job"),
    path("jobs/<str:job_id>/live", jobs.live, name="mlops_job_live"),
    path("jobs/<str:job_id>/cancel", jobs.cancel, name="mlops_job_cancel"),
    path("jobs/<str:job_id>/resume", jobs.resume, name="mlops_job_resume"),
    path("models/", models.index, name="mlops_models"),
    path("models/<str:model_id>/", models.detail, name="mlops_model"),
    path("ops/devices/", ops.devices, name="ops_devices"),
    path("models/<str:model_id>/promote", models.promote, name="mlops_model_promote"),
]

navigation.add(
    "Work",
    Entry("Data sets", "mlops_datasets", "data.read", 10),
    Entry("Jobs", "mlops_jobs", "jobs.read", 20),
    Entry("Models", "mlops_models", "models.read", 30),
)
navigation.add("Operations", Entry("Devices", "ops_devices", STAFF, 30))
panel.install()
