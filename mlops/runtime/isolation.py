"""What the child gives up before it imports anything large: network, privileges, resources. No torch."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
from typing import Any

from mlops.runtime.spec import ProcessLimits

_CLONE_NEWUSER = 0x10000000
_CLONE_NEWNET = 0x40000000
_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38
# What the interpreter, torch and its buffers take before the first tensor of the job.
_RUNTIME_BYTES = 1024**3


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


def leave_network() -> str:
    """Cut the process off from every network; must run while it has one thread.

    Returns how: "namespace" (the kernel's own, empty network), "user_namespace" (the same without root), or "guard"
    (Python's sockets refused; native code is not held by it, so prefer machines that permit namespaces).
    """
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
