"""The web's entry: ASGI, so that live progress does not hold a thread per watcher."""

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "millrace.settings.dev")
os.environ.setdefault("DATABASE_POOL_SIZE", "8")  # connections that each web process keeps
django = get_asgi_application()

from mlops.serving.asgi import PredictDoor  # noqa: E402 - its models need Django set up

application = PredictDoor(django)  # type: ignore[arg-type]
