"""The Celery consumer beside the devices: it only carries rings. Losing the broker costs no work, just promptness."""

import logging
import threading
import time
from typing import Any

from celery import Celery
from celery.platforms import EX_OK
from celery.signals import setup_logging
from celery.worker import state
from kombu.asynchronous import set_event_loop

logger = logging.getLogger(__name__)
_RETRY_SECONDS = 5.0
# How long a consumer without a running task may take to leave: its turn of a second, and a hanging send that times out.
_LEAVE_SECONDS = 15.0


class BellRope(threading.Thread):
    """Consumes `queues` in a thread until `stop`.

    Celery itself makes a broken connection again, for ever (the CELERY_BROKER_* settings); should its consumer fall
    over all the same, a new one takes its place (J5).
    """

    def __init__(self, *, app: Celery, queues: list[str]) -> None:
        # A daemon: a broker that hangs must not hold the process up once the devices have stopped.
        super().__init__(name="celery", daemon=True)
        self._app = app
        self._queues = queues
        self._stopping = threading.Event()

    def run(self) -> None:
        """Until told to stop."""
        setup_logging.connect(_leave_logging_alone)
        while not self._stopping.is_set():
            how = "without a word"
            try:
                self._consume()
            except (Exception, SystemExit) as failure:  # noqa: BLE001 - whatever it raises, the devices work on
                how = f"with {type(failure).__name__}: {failure}"
            if not self._stopping.is_set():
                logger.warning("the Celery consumer ended %s; another starts in %g s", how, _RETRY_SECONDS)
                self._stopping.wait(_RETRY_SECONDS)

    def stop(self) -> None:
        """Take no further message and let running tasks end; returns when they have.

        What was received and not begun goes back to the queue. A consumer that hangs in its connection is left behind.
        """
        self._stopping.set()
        # What Celery's own handler of SIGTERM sets; it cannot install that one in a thread.
        state.should_stop = EX_OK
        deadline = time.monotonic() + _LEAVE_SECONDS
        while self.is_alive() and (state.active_requests or time.monotonic() < deadline):
            self.join(0.1)
        if self.is_alive():
            logger.warning("the Celery consumer hangs in its connection; leaving without it")

    def _consume(self) -> None:
        # A consumer that fell leaves its timers on Celery's event loop, where they would fire at its dead connection.
        set_event_loop(None)
        # Threads, not processes: a ring must reach the devices of this very process, and nothing here forks (J6).
        worker = self._app.Worker(
            queues=self._queues,
            pool="threads",
            concurrency=2,
            without_gossip=True,
            without_mingle=True,
            quiet=True,
        )
        worker.start()


def _leave_logging_alone(**_: Any) -> None:
    """Without a receiver of this signal Celery takes the root logger over, and the devices' lines vanish."""
    logging.getLogger("celery").setLevel(logging.WARNING)
