"""The Stripe sandbox: our own server, started like the other two."""

import shutil
import signal
import subprocess
import sys
from pathlib import Path

from millrace.embedded import processes
from millrace.embedded.places import ROOT

NAME = "sandbox"
STOP_SIGNAL = signal.SIGTERM


class Sandbox:
    """`python -m billing.sandbox` with its books in `folder/sandbox`."""

    def __init__(self, folder: Path) -> None:
        self.state = folder / "sandbox"
        self.log = folder / "sandbox.log"

    @staticmethod
    def is_installed() -> bool:
        """Whether this checkout carries the sandbox: a production image leaves it out."""
        return (ROOT / "billing" / "sandbox" / "__main__.py").exists()

    def forget(self) -> None:
        """Delete its books: tests begin without any."""
        shutil.rmtree(self.state, ignore_errors=True)

    def start(self, port: int) -> subprocess.Popen[bytes]:
        """Start on `port` and return the server once it listens."""
        self.state.mkdir(parents=True, exist_ok=True)
        process = processes.spawn(
            [sys.executable, "-m", "billing.sandbox", "--port", str(port), "--state", self.state],
            log=self.log,
            folder=ROOT,
        )
        try:
            processes.wait_ready(process, lambda: processes.port_answers(port), name="The Stripe sandbox", log=self.log)
        except BaseException:
            processes.end(process, signal.SIGKILL)
            raise
        return process

    def url(self, port: int) -> str:
        """What STRIPE_API_BASE takes."""
        return f"http://127.0.0.1:{port}"
