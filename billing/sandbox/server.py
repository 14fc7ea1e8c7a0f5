"""The sandbox as a process: options, the listening socket, a clean exit."""

import argparse
import logging
import os
import signal
import socket
import threading
from collections.abc import Sequence
from pathlib import Path

import uvicorn

from billing.sandbox.app import build
from billing.sandbox.chaos import Chaos
from billing.sandbox.core import Sandbox
from billing.sandbox.resources.events import ensure_endpoint
from billing.sandbox.webhooks import RETRY_SECONDS

DEFAULT_SECRET = "sk_test_millrace"  # noqa: S105 - a key for nothing but this sandbox
FAULTS = ("double", "delay", "reorder", "fail", "api_500", "api_lost")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options, shared by `python -m billing.sandbox` and `manage.py stripe_sandbox`."""
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=12111)
    parser.add_argument("--state", type=Path, default=Path("var/sandbox"), help="directory of the state file")
    parser.add_argument("--secret", default=os.environ.get("STRIPE_SECRET_KEY") or DEFAULT_SECRET)
    parser.add_argument("--public-url", help="address that people reach the pages at, when not host and port")
    parser.add_argument("--webhook-url", help="an endpoint to send every event to")
    parser.add_argument("--webhook-secret", default=os.environ.get("STRIPE_WEBHOOK_SECRET"))
    parser.add_argument("--retry-seconds", default=",".join(map(str, RETRY_SECONDS)), help="waits between attempts")
    parser.add_argument("--chaos-seed", type=int, default=0)
    parser.add_argument("--chaos-rate", type=float, default=0.0, help="rate of every webhook fault not set by name")
    for fault in FAULTS:
        parser.add_argument(f"--chaos-{fault.replace('_', '-')}", type=float, dest=f"chaos_{fault}")


def sandbox_from(options: argparse.Namespace) -> Sandbox:
    """A sandbox with these options; ValueError for a key or a rate that won't do."""
    general = {fault: options.chaos_rate for fault in FAULTS if not fault.startswith("api_")}
    named = {f: rate for f in FAULTS if (rate := getattr(options, f"chaos_{f}")) is not None}
    return Sandbox(
        secret=options.secret,
        state=options.state,
        chaos=Chaos.parse({"seed": options.chaos_seed} | general | named),
        retry_seconds=tuple(float(part) for part in options.retry_seconds.split(",")),
        base_url=options.public_url or f"http://{options.host}:{options.port}",
    )


def run(options: argparse.Namespace) -> int:
    """Serve until SIGTERM or SIGINT, then save and exit 0."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    sandbox = sandbox_from(options)
    if options.webhook_url:
        if not options.webhook_secret:
            raise SystemExit("--webhook-url needs --webhook-secret (or STRIPE_WEBHOOK_SECRET)")
        ensure_endpoint(sandbox, options.webhook_url, options.webhook_secret)
    sandbox.start()
    config = uvicorn.Config(build(sandbox), host=options.host, port=options.port, log_level="warning", access_log=False)
    # uvicorn raises the signal it was stopped by once more when it is done: it must not end us before we have saved.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    try:
        uvicorn.Server(config).run()
    finally:
        sandbox.stop()
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line and serve."""
    parser = argparse.ArgumentParser(prog="python -m billing.sandbox", description=__doc__)
    add_arguments(parser)
    return run(parser.parse_args(arguments))


class BackgroundServer:
    """The same server in a thread of this process, on a free port: for tests."""

    def __init__(self, sandbox: Sandbox, host: str = "127.0.0.1", port: int = 0) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind((host, port))
        self.sandbox = sandbox
        self.base_url = f"http://{host}:{self._socket.getsockname()[1]}"
        sandbox.base_url = self.base_url
        config = uvicorn.Config(build(sandbox), log_level="warning", access_log=False, lifespan="off")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._socket]}, name="sandbox-http", daemon=True
        )

    def start(self) -> None:
        """Returns when the server listens."""
        self.sandbox.start()
        self._socket.listen(128)  # connections made before the loop is up wait in the backlog
        self._thread.start()

    def stop(self) -> None:
        """Returns when the server is gone and the state saved."""
        self._server.should_exit = True
        self._thread.join(timeout=10)
        self.sandbox.stop()
        self._socket.close()
