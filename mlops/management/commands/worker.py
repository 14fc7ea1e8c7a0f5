"""`manage.py worker`: runs jobs on this machine's devices until it is told to stop."""

import logging
import signal
import threading
from argparse import ArgumentParser
from typing import Any

from celery import current_app
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from mlops import doorbell
from mlops.worker.bell_rope import BellRope
from mlops.worker.discovery import DeviceLock, FoundDevice, find_gpus, find_processor
from mlops.worker.runner import DeviceRunner

logger = logging.getLogger(__name__)


class Command(BaseCommand):
    """Finds the devices, holds each, and looks for work for it."""

    help = "Run jobs on this machine's GPUs (or its processor where it has none). SIGTERM hands running jobs back."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--queues",
            default="",
            help="comma-separated: gpu, cpu (devices to offer; default: GPUs, else the processor), platform (also run "
            "the platform's own tasks)",
        )
        parser.add_argument("--cpu-slots", type=int, default=1, help="jobs at a time on the processor (default 1)")
        parser.add_argument("--hourly-cost", type=int, default=0, help="what a device costs an hour, in minor units")

    def handle(self, *args: Any, **options: Any) -> None:
        queues = {name.strip() for name in options["queues"].split(",") if name.strip()}
        unknown = queues - {"gpu", "cpu", "platform"}
        if unknown or options["cpu_slots"] < 1:
            raise CommandError(f"--queues takes gpu, cpu and platform; --cpu-slots at least 1 ({', '.join(unknown)})")
        stop = threading.Event()

        def stopping(*_: object) -> None:
            stop.set()
            doorbell.ring()

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, stopping)
        held = self._hold(queues, options["cpu_slots"])
        if not held and "platform" not in queues:
            raise CommandError("Every device here is held by another worker.")
        runners = [self._runner(device, stop, options) for device, _ in held]
        for runner in runners:
            runner.start()
        bells = sorted({f"jobs.{device.device_class}" for device, _ in held} | ({"platform"} & queues))
        rope = BellRope(app=current_app._get_current_object(), queues=bells)
        rope.start()
        self.stdout.write("devices: " + (", ".join(device.name for device, _ in held) or "none"))
        stop.wait()
        logger.info("told to stop: running jobs write a checkpoint and are handed back")
        rope.stop()
        for runner in runners:
            runner.join()

    def _hold(self, queues: set[str], cpu_slots: int) -> list[tuple[FoundDevice, DeviceLock]]:
        """The devices to offer that no other process here has."""
        found = find_gpus() if not queues or "gpu" in queues else []
        if "cpu" in queues or (not queues and not found):
            found += self._processors(cpu_slots)
        locks = settings.VAR / "devices"
        held = [(device, DeviceLock.take(locks, device.name)) for device in found]
        return [(device, lock) for device, lock in held if lock is not None]

    def _processors(self, slots: int) -> list[FoundDevice]:
        return [find_processor(slot, slots) for slot in range(slots)]

    def _runner(self, device: FoundDevice, stop: threading.Event, options: dict[str, Any]) -> DeviceRunner:
        folder = settings.VAR / "work" / device.name.replace("/", "_")
        threads = int(device.environment.get("OMP_NUM_THREADS", "0"))
        return DeviceRunner(
            device=device, folder=folder, stop=stop, hourly_cost=options["hourly_cost"], threads=threads
        )
