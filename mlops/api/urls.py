"""This room's doors under /v1/."""

from django.urls import path

from mlops.api import datasets

urlpatterns = [
    path("datasets", datasets.DatasetsView.as_view()),
    path("datasets/<str:dataset_id>", datasets.DatasetView.as_view()),
    path("datasets/<str:dataset_id>/versions", datasets.DatasetVersionsView.as_view()),
    path("datasets/<str:dataset_id>/versions/<str:number>", datasets.DatasetVersionView.as_view()),
    path("datasets/<str:dataset_id>/versions/<str:number>/report", datasets.DatasetReportView.as_view()),
    path("datasets/<str:dataset_id>/versions/<str:number>/samples/<str:row>", datasets.DatasetSampleView.as_view()),
]
