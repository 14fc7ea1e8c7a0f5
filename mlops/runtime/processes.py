"""Watch and stop processes by identity, never by a number that may mean another by now. Linux; no torch."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
from dataclasses import dataclass
from pathlib import Path

from mlops.runtime.spec import boot_id

_PIDFD_SIGNAL_PROCESS_GROUP = 1 << 2
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class ProcessIdentity:
    """A process of one start of one machine: numbers are used again, the start time with them is not."""

    pid: int
    start_ticks: int
    boot_id: str

    @classmethod
    def of(cls, pid: int) -> ProcessIdentity:
        """Raises ProcessLookupError when there is no such process."""
        return cls(pid, _start_ticks(pid), boot_id())

    def is_alive(self) -> bool:
        """Whether this very process still exists (a zombie does)."""
        try:
            return self.boot_id == boot_id() and _start_ticks(self.pid) == self.start_ticks
        except ProcessLookupError:
            return False


def _stat_fields(pid: int) -> list[str]:
    """Fields of /proc/<pid>/stat from the third (state) on; the name before them may contain anything."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        raise ProcessLookupError(pid) from None
    return text.rpartition(")")[2].split()


def _start_ticks(pid: int) -> int:
    return int(_stat_fields(pid)[19])


def signal_group(identity: ProcessIdentity, number: signal.Signals) -> bool:
    """Send a signal to the group that `identity` leads; False, and nothing sent, when it is gone.

    For processes that are not our own unreaped children, e.g. those a dead supervisor left. The pidfd is opened before
    the start time is compared, so that it is known to hold that very process, and the signal goes through it.
    Kernels before 6.9 cannot signal a group through a pidfd: there the leader alone gets the signal.
    """
    try:
        handle = os.pidfd_open(identity.pid)
    except ProcessLookupError:
        return False
    try:
        if not identity.is_alive():
            return False
        try:
            signal.pidfd_send_signal(handle, number, None, _PIDFD_SIGNAL_PROCESS_GROUP)
        except OSError as refused:
            if refused.errno != errno.EINVAL:
                raise
            signal.pidfd_send_signal(handle, number)
        return True
    except ProcessLookupError:
        return False
    finally:
        os.close(handle)


def has_exited(pid: int) -> bool:
    """Whether our child has ended, without reaping it: until it is reaped its number and its group stay its own."""
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def signal_own_group(pid: int, number: signal.Signals) -> None:
    """Signal the group of a child of ours that has not been reaped; nothing happens when the group is empty."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, number)


def resident_bytes(pid: int) -> int:
    """Resident memory of one process; 0 when it is gone."""
    try:
        return int(_stat_fields(pid)[21]) * _PAGE
    except ProcessLookupError:
        return 0


def group_resident_bytes(group: int) -> int:
    """Resident memory of every process in a group; shared pages count once for each."""
    total = 0
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit():
            continue
        try:
            fields = _stat_fields(int(entry.name))
        except ProcessLookupError:
            continue
        if int(fields[2]) == group:
            total += int(fields[21]) * _PAGE
    return total


def machine_oom_kills() -> int | None:
    """How often the kernel killed for memory in this control group so far; None where that cannot be read."""
    for path in ("/sys/fs/cgroup/memory.events.local", "/sys/fs/cgroup/memory.events"):
        try:
            lines = Path(path).read_text(encoding="ascii").splitlines()
        except OSError:
            continue
        for line in lines:
            name, _, count = line.partition(" ")
            if name == "oom_kill":
                return int(count)
    return None
