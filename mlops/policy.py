"""The room's figures: leases, retries, limits. Each stands once, here; a deployment may set those that name a setting."""

import os
from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings


def lease() -> timedelta:
    """How long a claim holds without a heartbeat, on the database's clock (setting JOB_LEASE_SECONDS)."""
    return timedelta(seconds=settings.JOB_LEASE_SECONDS)


def heartbeat_seconds() -> float:
    """Six beats a lease: five may get lost."""
    return settings.JOB_LEASE_SECONDS / 6


def checkpoint_seconds() -> float:
    """How often a run saves where it stands: also the most that a lost worker costs the platform."""
    return settings.JOB_CHECKPOINT_SECONDS


def job_memory_bytes() -> int:
    """Resident memory that a job's process group may take: of the machine's, all but an eighth."""
    return settings.JOB_MEMORY_BYTES or os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") * 7 // 8


# How often a worker looks for work though nobody rang.
POLL_SECONDS = 1.0
# So many are kept of a job that goes on: the one it goes on from, and some in case that one is damaged.
KEPT_CHECKPOINTS = 3
# A job is started this often at most when the platform keeps losing it; a worker's orderly stop does not count.
MAX_ATTEMPTS = 3
RETRY_SECONDS = 2
# Outcomes that are the platform's fault: another machine may do better. All others would only repeat (J3).
RETRIED = frozenset({"crashed", "device_unavailable", "disk_full", "lease_lost", "protocol_invalid"})
# How far back device time counts against a tenant in the queue.
FAIR_WINDOW = timedelta(hours=1)
# A session of a device that was not seen for this many leases has ended.
SESSION_LEASES = 4
QUOTE_LIFETIME = timedelta(hours=24)
# A reservation outlives its job's longest run by this; the reaper and the end release it long before.
RESERVATION_SPARE = timedelta(days=7)
LONGEST_JOB_MS = 7 * 24 * 3600 * 1000
SHORTEST_JOB_MS = 5_000
# Without a limit of its own a job gets this many times its estimate, and a minute at least.
LIMIT_FACTOR = 4
LIMIT_FLOOR_MS = 60_000


@dataclass(frozen=True)
class Speed:
    """Examples a second of training, before any run was measured: a cautious guess that the first run replaces."""

    examples_per_second: float
    startup_ms: int


def default_speed(device_class: str) -> Speed:
    """The guess for a class of devices."""
    return Speed(2_000, 6_000) if device_class == "cpu" else Speed(40_000, 12_000)


def meter_of(device_class: str) -> str:
    """The meter that a device's time counts on."""
    return "cpu_ms" if device_class == "cpu" else f"gpu_ms:{device_class}"
