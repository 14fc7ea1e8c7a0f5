"""The web's entry: ASGI, so that live progress does not hold a thread per watcher."""

import os

import django
from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIHandler
from django.http import HttpRequest
from django.http.response import HttpResponseBase

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "millrace.settings.dev")
os.environ.setdefault("DATABASE_POOL_SIZE", "8")  # connections that each web process keeps
django.setup(set_prefix=False)

from mlops.serving.asgi import PredictDoor  # noqa: E402 - its models need Django set up


class OneThreadHandler(ASGIHandler):
    """Django's handler with middleware and view in one thread from end to end.

    All of ours are synchronous. Django would still start the chain on the event loop, and cross between it and the
    request's thread at every middleware that could do either, which costs a third of the requests a second. What is
    streamed, such as live progress, is iterated on the event loop as before.
    """

    def load_middleware(self, is_async: bool = False) -> None:
        """The chain for threads, whatever the server."""
        super().load_middleware(is_async=False)

    async def get_response_async(self, request: HttpRequest) -> HttpResponseBase:
        """The answer, made in the request's own thread."""
        return await sync_to_async(self.get_response, thread_sensitive=True)(request)


application = PredictDoor(OneThreadHandler())  # type: ignore[arg-type]
