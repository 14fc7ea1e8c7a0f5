"""`manage.py serve`: answers predictions until it is told to stop."""

import logging
import os
import signal
import socket
import threading
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from mlops import policy
from mlops.services.devices import device_register, session_end, session_start
from mlops.serving.server import Server
from mlops.worker.discovery import DeviceLock, FoundDevice, find_gpus, find_processor

logger = logging.getLogger(__name__)


class Command(BaseCommand):
    """Holds one device and serves every model on it."""

    help = "Answer predictions on a GPU (or the processor). SIGTERM finishes what was taken."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--device", choices=["auto", "gpu", "cpu"], default="auto")
        parser.add_argument("--models", type=int, default=8, help="how many models to keep in memory (default 8)")
        parser.add_argument("--max-batch", type=int, default=64, help="inputs in one batch at most (default 64)")
        parser.add_argument("--max-wait-ms", type=float, default=2.0, help="how long a request waits for company")
        parser.add_argument("--threads", type=int, default=0, help="processor threads (default: torch's choice)")
        parser.add_argument("--hourly-cost", type=int, default=0, help="what the device costs an hour, in minor units")

    def handle(self, *args: Any, **options: Any) -> None:
        device, lock = self._hold(options["device"])
        os.environ.update(device.environment if device.device_class != "cpu" else {})
        # After the device is chosen: CUDA looks at the environment once.
        from mlops.serving.predictor import TorchPredictor

        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        known = device_register(name=device.name, device_class=device.device_class, hourly_cost=options["hourly_cost"])
        worker = f"{socket.gethostname()}:{os.getpid()}"
        session = session_start(device=known, worker=worker, purpose="serving")
        server = Server(
            predictor=TorchPredictor(
                device=device.torch_device, capacity=options["models"], threads=options["threads"]
            ),
            session=session,
            meter=policy.meter_of(device.device_class),
            consumer=worker,
            stop=stop,
            max_batch=options["max_batch"],
            max_wait_ms=options["max_wait_ms"],
        )
        self.stdout.write(f"serving on {device.name}")
        try:
            server.run()
        finally:
            session_end(session.pk)
            lock.release()

    def _hold(self, wanted: str) -> tuple[FoundDevice, DeviceLock]:
        found = find_gpus() if wanted in ("auto", "gpu") else []
        if wanted in ("auto", "cpu"):
            processor = find_processor(0, 1)
            # Beside the worker's slots: serving on the processor shares it with jobs, under a name of its own.
            name = processor.name.replace("/cpu/", "/cpu-serving/")
            found.append(FoundDevice(name, "cpu", "cpu", processor.environment))
        for device in found:
            lock = DeviceLock.take(settings.VAR / "devices", device.name)
            if lock is not None:
                return device, lock
        raise CommandError("Every device that could serve is held by another process.")
