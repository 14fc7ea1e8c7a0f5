"""This room's pages."""

from django.urls import path

from millrace.portal import navigation
from millrace.portal.navigation import Entry
from mlops.portal import datasets

urlpatterns = [
    path("datasets/", datasets.index, name="mlops_datasets"),
    path("datasets/new/", datasets.new, name="mlops_dataset_new"),
    path("datasets/<str:dataset_id>/", datasets.detail, name="mlops_dataset"),
]

navigation.add("Work", Entry("Data sets", "mlops_datasets", "data.read", 10))
