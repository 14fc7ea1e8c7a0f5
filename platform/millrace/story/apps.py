"""The demo: one business month, played through the public doors."""

from django.apps import AppConfig


class StoryConfig(AppConfig):
    """Knows every room; also makes the Celery application the current one for every Django process."""

    name = "millrace.story"
    label = "story"

    def ready(self) -> None:
        from millrace import celery  # noqa: F401 - shared tasks find their broker through it
