"""What survives a restart, and what a kill costs."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx

from billing.sandbox.periods import add_months
from billing.sandbox.testing import SandboxServer
from tests.billing.sandbox.conftest import NEW_YEAR, WEBHOOK_SECRET, Receiver, make_customer, make_price, sdk

ROOT = Path(__file__).resolve().parents[3]
KEY = "sk_test_process"


def test_everything_is_there_after_a_restart(tmp_path: Path, receiver: Receiver) -> None:
    hooks: dict[str, Any] = {"webhook_url": receiver.url, "webhook_secret": WEBHOOK_SECRET}
    with SandboxServer(tmp_path, **hooks) as server:
        api = sdk(server)
        clock = api.test_helpers.test_clocks.create({"frozen_time": NEW_YEAR})
        customer = make_customer(api, clock=clock.id)
        given = {"customer": customer.id, "items": [{"price": make_price(api).id}]}
        subscription = api.subscriptions.create(given, {"idempotency_key": "once"})
        server.flush()
        receiver.refuse_all = True
        api.customers.update(customer.id, {"name": "Alice"})

    receiver.refuse_all = False
    receiver.events.clear()
    with SandboxServer(tmp_path, **hooks) as server:
        api = sdk(server)
        again = api.subscriptions.create(given, {"idempotency_key": "once"})
        server.flush()
        undelivered = receiver.types()
        server.advance(clock.id, add_months(NEW_YEAR, 1) + 2 * 3_600)
        invoices = api.invoices.list({"subscription": subscription.id}).data

    assert again.id == subscription.id
    assert undelivered == ["customer.updated"]
    assert [(i.billing_reason, i.status) for i in invoices] == [
        ("subscription_cycle", "paid"),
        ("subscription_create", "paid"),
    ]


def _spawn(state: Path) -> tuple[subprocess.Popen[bytes], str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "billing.sandbox", "--port", str(port), "--state", str(state), "--secret", KEY]
    process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)})
    base = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            httpx.get(f"{base}/healthz").raise_for_status()
            return process, base
        except httpx.HTTPError:
            time.sleep(0.05)
    process.kill()
    raise AssertionError("the sandbox did not start")


def _customers(base: str) -> int:
    answer = httpx.get(f"{base}/v1/customers", params={"limit": 100}, auth=(KEY, "")).json()
    return len(answer["data"])


def test_neither_terminate_nor_kill_loses_what_was_answered(tmp_path: Path) -> None:
    process, base = _spawn(tmp_path)
    for number in range(20):
        httpx.post(f"{base}/v1/customers", data={"email": f"{number}@example.com"}, auth=(KEY, ""))
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=20) == 0

    process, base = _spawn(tmp_path)
    assert _customers(base) == 20
    httpx.post(f"{base}/v1/customers", data={"email": "settled@example.com"}, auth=(KEY, ""))
    process.kill()
    process.wait(timeout=20)

    process, base = _spawn(tmp_path)
    assert _customers(base) == 21
    process.terminate()
    process.wait(timeout=20)


def test_django_is_not_needed() -> None:
    code = "import sys, billing.sandbox.server; sys.exit('django' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_reset_forgets_everything_but_the_endpoints_given(server: SandboxServer, api: Any, receiver: Receiver) -> None:
    make_customer(api)
    server.flush()
    receiver.events.clear()

    server.control("reset", {})

    assert api.customers.list().data == []
    assert server.sandbox.store.kinds() == {"webhook_endpoint": 1}
    make_customer(api, card=None)
    server.flush()
    assert receiver.types() == ["customer.created"]
