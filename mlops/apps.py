"""Data sets, jobs, models, predictions."""

from django.apps import AppConfig


class MlopsConfig(AppConfig):
    """The room where models are made and served."""

    name = "mlops"

    def ready(self) -> None:
        """Register the invariant that this room proves."""
        from mlops import reconcile  # noqa: F401 - registers R1
