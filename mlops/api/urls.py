"""This room's doors under /v1/."""

from django.urls import path

from mlops.api import datasets, events, jobs, models, ops, predict, recipes

_VERSION = "datasets/<str:dataset_id>/versions/<str:number>"

urlpatterns = [
    path("ops/reports/devices", ops.DevicesView.as_view()),
    path("datasets", datasets.DatasetsView.as_view()),
    path("datasets/<str:dataset_id>", datasets.DatasetView.as_view()),
    path("datasets/<str:dataset_id>/versions", datasets.DatasetVersionsView.as_view()),
    path(_VERSION, datasets.DatasetVersionView.as_view()),
    path(f"{_VERSION}/report", datasets.DatasetReportView.as_view()),
    path(f"{_VERSION}/samples/<str:row>", datasets.DatasetSampleView.as_view()),
    path("recipes", recipes.RecipesView.as_view()),
    path("recipes/<str:name>", recipes.RecipeView.as_view()),
    path("quotes", jobs.QuotesView.as_view()),
    path("jobs", jobs.JobsView.as_view()),
    path("jobs/<str:job_id>", jobs.JobView.as_view()),
    path("jobs/<str:job_id>/cancel", jobs.JobCancelView.as_view()),
    path("jobs/<str:job_id>/resume", jobs.JobResumeView.as_view()),
    path("jobs/<str:job_id>/events", events.JobEventsView.as_view()),
    path("jobs/<str:job_id>/logs", jobs.JobLogsView.as_view()),
    path("jobs/<str:job_id>/metrics", jobs.JobMetricsView.as_view()),
    path("jobs/<str:job_id>/output", jobs.JobOutputView.as_view()),
    path("models", models.ModelsView.as_view()),
    path("models/<str:model_id>", models.ModelView.as_view()),
    path("models/<str:model_id>/versions", models.ModelVersionsView.as_view()),
    path("models/<str:model_id>/versions/<str:number>", models.ModelVersionView.as_view()),
    path("models/<str:model_id>/promote", models.ModelPromoteView.as_view()),
    path("models/<str:model_id>/card", models.ModelCardView.as_view()),
    path("models/<str:model_id>/download", models.ModelDownloadView.as_view()),
    path("models/<str:model_id>/predict", predict.PredictView.as_view()),
    path("predictions/<str:prediction_id>", predict.PredictionView.as_view()),
    path("predictions/<str:prediction_id>/feedback", models.FeedbackView.as_view()),
]
