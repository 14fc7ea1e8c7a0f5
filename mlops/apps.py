"""Data sets, jobs, models, predictions."""

from django.apps import AppConfig


class MlopsConfig(AppConfig):
    """The room where models are made and served."""

    name = "mlops"
