"""One device of this process: looks for work when rung and on its own timer, runs one job at a time."""

import logging
import os
import socket
import threading
import time
from pathlib import Path

from django.db import Error as DatabaseError
from django.db import connection

from millrace.kernel import clock
from mlops import doorbell, policy
from mlops.models import DeviceSession
from mlops.services.devices import device_register, session_end, session_seen, session_start
from mlops.services.leases import job_claim
from mlops.services.reaper import jobs_reap
from mlops.worker.discovery import FoundDevice
from mlops.worker.run import JobRun, clear

logger = logging.getLogger(__name__)


class DeviceRunner(threading.Thread):
    """Holds a device from its start to its end. Broker or no broker, it finds what waits (J5)."""

    def __init__(
        self, *, device: FoundDevice, folder: Path, stop: threading.Event, hourly_cost: int = 0, threads: int = 0
    ) -> None:
        super().__init__(name=f"device {device.name}")
        self.device = device
        self.folder = folder
        self.runs = 0
        self._stop_asked = stop
        self._hourly_cost = hourly_cost
        self._threads = threads
        self._session: DeviceSession | None = None
        self._reaped = 0.0

    def run(self) -> None:
        """Until told to stop. What goes wrong with one look is logged, and the next look comes all the same."""
        clear(self.folder)
        seen = 0
        while not self._stop_asked.is_set():
            try:
                worked = self._look()
            except DatabaseError as gone:
                logger.warning("%s: the database is away: %s", self.name, gone)
                connection.close()
                worked = False
            except Exception:
                logger.exception(
                    "%s: a run failed on our side; its lease runs out and the job goes on elsewhere", self.name
                )
                connection.close()
                worked = False
            if not worked:
                seen = doorbell.wait(seen, policy.POLL_SECONDS)
        self._end()

    def _look(self) -> bool:
        """Take back what was lost, run what waits; says whether there was a job."""
        session = self._supervised()
        now = time.monotonic()
        if now - self._reaped >= policy.heartbeat_seconds():
            self._reaped = now
            session_seen(session.pk, until_ms=clock.boot_ms())
            jobs_reap()
        job = job_claim(session=session, worker=worker_name())
        if job is None:
            return False
        self.runs += 1
        logger.info("%s runs %s, epoch %d", self.name, job.public_id, job.epoch)
        folder = self.folder / f"{job.pk}-{job.epoch}"
        try:
            run = JobRun(job=job, device=self.device, folder=folder, stop=self._stop_asked, threads=self._threads)
            ended = run.supervise()
            logger.info("%s: %s is %s", self.name, job.public_id, ended.state if ended else "another worker's")
        finally:
            clear(folder)
        return True

    def _supervised(self) -> DeviceSession:
        if self._session is None:
            device = device_register(
                name=self.device.name, device_class=self.device.device_class, hourly_cost=self._hourly_cost
            )
            self._session = session_start(device=device, worker=worker_name(), purpose="jobs")
        return self._session

    def _end(self) -> None:
        if self._session is not None:
            try:
                session_end(self._session.pk)
            except DatabaseError as gone:
                logger.warning("%s: could not write the session's end: %s", self.name, gone)
        connection.close()


def worker_name() -> str:
    """Which process this is, for people."""
    return f"{socket.gethostname()}:{os.getpid()}"
