"""The Celery consumer beside the devices: it only carries rings. Losing the broker costs no work, just promptness."""

import logging
import threading

from celery import Celery

logger = logging.getLogger(__name__)
_RETRY_SECONDS = 5.0


class BellRope(threading.Thread):
    """Consumes `queues` in a thread, and starts over when the consumer falls over (J5)."""

    def __init__(self, *, app: Celery, queues: list[str], stop: threading.Event) -> None:
        # A daemon: when the devices have stopped, nothing that the broker does may hold the process up.
        super().__init__(name="celery", daemon=True)
        self._app = app
        self._queues = queues
        self._stop_asked = stop

    def run(self) -> None:
        """Until told to stop."""
        while not self._stop_asked.is_set():
            try:
                self._consume()
            except Exception as failure:  # noqa: BLE001 - whatever the broker's client raises, the devices work on
                logger.warning("the Celery consumer stopped: %s", failure)
            self._stop_asked.wait(_RETRY_SECONDS)

    def _consume(self) -> None:
        # Threads, not processes: a ring must reach the devices of this very process, and nothing here forks (J6).
        worker = self._app.Worker(
            queues=self._queues,
            pool="threads",
            concurrency=2,
            without_gossip=True,
            without_mingle=True,
            loglevel="WARNING",
            quiet=True,
        )
        worker.start()
