"""A sandbox in the test's own process, reached over real HTTP."""

import time
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx

from billing.sandbox.chaos import Chaos
from billing.sandbox.core import Sandbox
from billing.sandbox.server import BackgroundServer, ensure_endpoint

SECRET = "sk_test_for_tests"  # noqa: S105 - opens nothing but a sandbox made by a test
ADVANCE_TIMEOUT_SECONDS = 60.0


class SandboxServer:
    """`with SandboxServer() as server:` gives `.base_url`, `.secret_key` and the controls.

    `state`: a directory to keep the state in (None: memory). `webhook_url`, `webhook_secret`: an endpoint for all.
    """

    def __init__(
        self,
        state: Path | None = None,
        *,
        secret_key: str = SECRET,
        chaos: dict[str, Any] | None = None,
        retry_seconds: tuple[float, ...] = (0.05, 0.1, 0.2),
        webhook_url: str | None = None,
        webhook_secret: str = "whsec_for_tests",  # noqa: S107
        port: int = 0,
    ) -> None:
        self.secret_key = secret_key
        self.webhook_secret = webhook_secret
        parsed = Chaos.parse(chaos or {})
        self.sandbox = Sandbox(secret=secret_key, state=state, chaos=parsed, retry_seconds=retry_seconds)
        self._server = BackgroundServer(self.sandbox, port=port)
        self.base_url = self._server.base_url
        self._http = httpx.Client(base_url=self.base_url, timeout=90)
        if webhook_url:
            ensure_endpoint(self.sandbox, webhook_url, webhook_secret)

    def __enter__(self) -> "SandboxServer":
        self._server.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()
        self._server.stop()

    def advance(self, clock: str, to: int, timeout: float = ADVANCE_TIMEOUT_SECONDS) -> None:
        """Advance a test clock to epoch `to` and wait until it is ready."""
        path = f"/v1/test_helpers/test_clocks/{clock}"
        headers = {"Authorization": f"Bearer {self.secret_key}"}
        self._http.post(f"{path}/advance", data={"frozen_time": to}, headers=headers).raise_for_status()
        deadline = time.monotonic() + timeout
        while (status := self._http.get(path, headers=headers).json()["status"]) != "ready":
            if status == "internal_failure":
                raise RuntimeError(f"test clock {clock} failed; the log has the traceback")
            if time.monotonic() > deadline:
                raise TimeoutError(f"test clock {clock} is still advancing")
            time.sleep(0.01)

    def set_now(self, now: int | None) -> None:
        """Set the sandbox's own clock (None: real time)."""
        self.control("clock", {"now": now})

    def flush(self) -> None:
        """Deliver every pending webhook; raises when some endpoint would not take them within a minute."""
        self.control("flush", {"timeout": 60})

    def chaos(self, **settings: Any) -> None:
        """Set the faults; what is not named is off."""
        self.control("chaos", settings)

    def pay(self, session: str, payment_method: str = "pm_card_visa", email: str | None = None) -> dict[str, Any]:
        """Pay a Checkout session as its buyer would."""
        given = {"payment_method": payment_method} | ({"email": email} if email else {})
        return self.control(f"checkout/{session}/pay", given)

    def control(self, path: str, given: dict[str, Any]) -> dict[str, Any]:
        """POST to one of the `/_sandbox/` controls."""
        answer = self._http.post(f"/_sandbox/{path}", json=given)
        answer.raise_for_status()
        return answer.json()
