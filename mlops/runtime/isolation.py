"""What the child gives up before it imports anything large: network, privileges, resources. No torch."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlops.runtime import landlock, privileges
from mlops.runtime.spec import ProcessLimits

_CLONE_NEWUSER = 0x10000000
_CLONE_NEWNET = 0x40000000
_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38
# What the interpreter, torch and its buffers take before the first tensor of the job.
_RUNTIME_BYTES = 1024**3
# What programs need of the system, read only. Of /etc just what the loader, time and names ask for.
_SYSTEM = (
    "/usr", "/lib", "/lib64", "/bin", "/sbin", "/opt/cuda", "/proc", "/sys",
    "/etc/ld.so.cache", "/etc/localtime", "/etc/passwd", "/etc/group", "/etc/nsswitch.conf", "/etc/alternatives",
)  # fmt: skip
_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/shm")  # noqa: S108 - no temporary file
# The packages of a source root that a job's process imports; `tests` where they are, for children of tests.
_ROOMS = ("mlops", "tests")


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def die_with_parent(parent_pid: int) -> None:
    """Have the kernel kill this process when its supervisor ends; leave at once if that happened already."""
    if _libc().prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent_pid:
        os._exit(1)


def refuse_new_privileges() -> None:
    """No set-user-id program that this process starts gains anything."""
    if _libc().prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_NO_NEW_PRIVS)")


@dataclass(frozen=True)
class Walls:
    """What holds the process, as its `started` event tells it. Weaker ones are chosen only where a stronger fails.

    `network`: "namespace" (an empty network), "user_namespace" (the same without root), "landlock" (no TCP; other sockets
    refused in Python only), "guard" (sockets refused in Python; native code is not held).
    `files`: "landlock" (reads what it needs, writes its folder), "permissions" (what its user may).
    `user`: "unprivileged" (by the supervisor's own rights), "dropped" (root became the jobs' user), "root" (it could not).
    """

    network: str
    files: str
    user: str

    @property
    def weaknesses(self) -> list[str]:
        """What a machine should offer and this one does not, for its log."""
        gaps = {
            "network": {
                "landlock": "namespaces are not permitted here: native code could still send datagrams",
                "guard": "neither namespaces nor Landlock are permitted here: native code could reach the network",
            },
            "files": {"permissions": "the kernel offers no Landlock: a job reads what its user may"},
            "user": {
                "root": "the job runs as root: no other user reaches the interpreter, or changing it is forbidden"
            },
        }
        return [told for wall, weak in gaps.items() if (told := weak.get(getattr(self, wall)))]


def raise_walls(*, workdir: str, readable: list[str], user: int | None, device: str) -> Walls:
    """Give up the network, the files and the rights; must run while the process has one thread.

    `readable` are the files that the job is given; `user` is who root becomes, None for a supervisor that is not root.
    """
    network = _leave_network()
    confined = landlock.version() > 0
    read = [*_SYSTEM, *_packages(), *readable]
    who = "root" if os.geteuid() == 0 else "unprivileged"
    if user is not None and who == "root":
        who = _leave_root(user, [workdir, *read], readable, confined=confined)
    if who == "unprivileged":
        privileges.keep_capabilities(0)  # a user namespace made it master of that
    if confined and landlock.confine(read=read, listed=_source_roots(), write=[workdir, *_devices(device)]):
        network = "landlock" if network == "guard" else network
    return Walls(network, "landlock" if confined else "permissions", who)


def _leave_root(user: int, paths: list[str], readable: list[str], *, confined: bool) -> str:
    """Become `user` where it can work at all; "root" where it cannot or root may not change."""
    unaided = privileges.may_pass(user, paths) and privileges.may_read(user, readable)
    if not unaided and not confined:
        return "root"
    try:
        privileges.become(user, reads_everything=not unaided)
    except OSError:
        return "root"
    return "dropped"


def _packages() -> list[str]:
    """Where Python, its packages and CUDA are read from; of a checkout only our rooms, for it may hold secrets."""
    prefixes = [sys.prefix, sys.base_prefix, sys.exec_prefix]
    rooms = [str(Path(root) / room) for root in _source_roots() for room in _ROOMS]
    libraries = [*os.environ.get("LD_LIBRARY_PATH", "").split(":"), os.environ.get("CUDA_HOME", "")]
    return [*prefixes, *rooms, *filter(None, libraries)]


def _source_roots() -> list[str]:
    """Where Python looks for packages outside of its own folders."""
    prefixes = (sys.prefix, sys.base_prefix, sys.exec_prefix)
    return [path for path in sys.path if path and not any(Path(path).is_relative_to(each) for each in prefixes)]


def _devices(device: str) -> list[str]:
    """Written to, but no folder of /dev as a whole: the machine's disks stand there too."""
    if device == "cpu":
        return [*_DEVICES]
    # CUDA names its threads by writing into /proc, and does not start where it may not.
    return [*_DEVICES, "/proc", "/dev/dri", "/dev/kfd", *map(str, Path("/dev").glob("nvidia*"))]


def _leave_network() -> str:
    """Cut the process off from every network, by the kernel where it permits that."""
    user, group = os.getuid(), os.getgid()
    if _libc().unshare(_CLONE_NEWNET) == 0:
        return "namespace"
    if _libc().unshare(_CLONE_NEWUSER | _CLONE_NEWNET) == 0:
        # Unmapped, the process would own none of its files by name.
        _write("/proc/self/setgroups", "deny")
        _write("/proc/self/uid_map", f"{user} {user} 1")
        _write("/proc/self/gid_map", f"{group} {group} 1")
        return "user_namespace"
    sys.addaudithook(_refuse_sockets)
    return "guard"


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="ascii") as file:
        file.write(text)


def _refuse_sockets(event: str, args: tuple[Any, ...]) -> None:
    if event in ("socket.connect", "socket.bind", "socket.sendto", "socket.getaddrinfo", "socket.gethostbyname"):
        raise PermissionError(f"a job has no network ({event})")


def apply_limits(limits: ProcessLimits, *, device: str) -> None:
    """Set this process's resource limits; they hold for what it starts too."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _lower(resource.RLIMIT_NOFILE, limits.nofile)
    if limits.cpu_seconds is not None:
        _lower(resource.RLIMIT_CPU, limits.cpu_seconds, spare=5)
    if limits.nproc is not None:
        _lower(resource.RLIMIT_NPROC, limits.nproc)
    if limits.file_bytes is not None:
        _lower(resource.RLIMIT_FSIZE, limits.file_bytes)
    if limits.memory_bytes is not None and device == "cpu":
        _lower(resource.RLIMIT_DATA, limits.memory_bytes + _RUNTIME_BYTES)


def _lower(which: int, wanted: int, spare: int = 0) -> None:
    """Set the soft limit to `wanted` and the hard one `spare` above, never above what already holds."""
    _, hard = resource.getrlimit(which)
    ceiling = wanted + spare if hard == resource.RLIM_INFINITY else min(wanted + spare, hard)
    resource.setrlimit(which, (min(wanted, ceiling), ceiling))


# The only names that a job's process inherits; secrets are kept out by being on no list.
_INHERITED = ("PATH", "LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH", "CUDA_HOME", "NVIDIA_DRIVER_CAPABILITIES")


def child_environment(*, source_root: str, workdir: str, device_env: dict[str, str]) -> dict[str, str]:
    """The environment of a job's process. `device_env` names its device, e.g. {"CUDA_VISIBLE_DEVICES": "GPU-…"}."""
    environment = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    environment |= {
        "PYTHONPATH": source_root,
        "PYTHONSAFEPATH": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
        "HOME": workdir,
        "TMPDIR": workdir,
        "CUDA_VISIBLE_DEVICES": "",
        # cuBLAS repeats itself only with a fixed workspace.
        "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
    }
    return environment | device_env
