"""The consumer's thread: what it does when Celery's consumer falls over for good."""

import logging
import threading
from collections.abc import Callable
from typing import Any

import pytest
from celery.worker import state

from mlops.worker import bell_rope
from mlops.worker.bell_rope import BellRope


class FakeApp:
    """Its consumers end one after the other as told; the last one runs until Celery is told to stop."""

    def __init__(self, *ends: Callable[[], None]) -> None:
        self.ends = list(ends)
        self.made = 0
        self.last_runs = threading.Event()

    def Worker(self, **options: Any) -> "FakeApp":
        self.made += 1
        return self

    def start(self) -> None:
        if self.ends:
            self.ends.pop(0)()
            return
        self.last_runs.set()
        while state.should_stop is None:
            threading.Event().wait(0.01)


def raising(failure: BaseException) -> Callable[[], None]:
    def end() -> None:
        raise failure

    return end


def test_j5_a_consumer_that_fell_over_is_replaced(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(bell_rope, "_RETRY_SECONDS", 0.01)
    monkeypatch.setattr(state, "should_stop", None)
    app = FakeApp(raising(RuntimeError("broken")), raising(SystemExit(70)), lambda: None)
    rope = BellRope(app=app, queues=["platform"])  # type: ignore[arg-type]

    with caplog.at_level(logging.WARNING):
        rope.start()
        assert app.last_runs.wait(10)
        rope.stop()

    assert not rope.is_alive()
    assert app.made == 4
    said = [record.getMessage() for record in caplog.records if "another starts" in record.getMessage()]
    assert [text.split(" ended ")[1].split(";")[0] for text in said] == [
        "with RuntimeError: broken", "with SystemExit: 70", "without a word",
    ]  # fmt: skip
