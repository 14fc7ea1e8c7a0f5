"""The ASGI application: the API under /v1/, the pages people see, and the sandbox's own controls under /_sandbox/."""

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from billing.sandbox import control, pages, resources
from billing.sandbox.core import Sandbox
from billing.sandbox.dispatch import serve
from billing.sandbox.resources.test_clocks import resume_advances

MAX_BODY_BYTES = 4 * 1024 * 1024

__all__ = ["build", "resources"]


async def api_call(request: Request) -> Response:
    """Everything under /v1/. Calls are short and in memory, so they run on the event loop itself."""
    body = await request.body()
    if len(body) > MAX_BODY_BYTES:
        return JSONResponse({"error": {"type": "invalid_request_error", "message": "Request too large"}}, 413)
    sandbox: Sandbox = request.app.state.sandbox
    path = request.url.path.removeprefix("/v1/").rstrip("/")
    answer = serve(sandbox, request.method, path, request.url.query, request.headers, body)
    return Response(answer.body, answer.status, answer.headers, media_type="application/json")


async def health(request: Request) -> Response:
    return JSONResponse({"status": "ok"})


class SaveBeforeAnswer:
    """What has changed is on disk before an answer leaves: a client never knows more than the state file."""

    def __init__(self, app: ASGIApp, sandbox: Sandbox) -> None:
        self.app = app
        self.sandbox = sandbox

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def save_and_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.sandbox.store.save()
            await send(message)

        await self.app(scope, receive, save_and_send)


def build(sandbox: Sandbox) -> Starlette:
    """The application for a sandbox that its caller starts and stops."""
    resume_advances(sandbox)
    routes = [
        Route("/v1/{path:path}", api_call, methods=["GET", "POST", "DELETE"]),
        Route("/healthz", health),
        *control.ROUTES,
        *pages.ROUTES,
    ]
    app = Starlette(routes=routes, middleware=[Middleware(SaveBeforeAnswer, sandbox=sandbox)])
    app.state.sandbox = sandbox
    return app
