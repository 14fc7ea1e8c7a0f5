"""A job's process on a machine that offers less: it takes rights from itself first, then tries what a job must not do."""

import codecs
import ctypes
import errno
import json
import os
import platform
import socket
import struct
import sys
from pathlib import Path

from mlops.runtime import privileges
from mlops.runtime.child import enter

NOBODY = 65534
_NUMBERS = {
    "unshare": {"x86_64": 272, "aarch64": 97}[platform.machine()],
    "landlock": 444,  # the first of its three calls, without which the others are of no use
}


def forbid(*names: str) -> None:
    """Has the kernel refuse these calls, as a container's seccomp profile does."""

    class Filter(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("code", ctypes.c_char_p)]

    load, jump_if_equal, answer = 0x20, 0x15, 0x06
    code = [struct.pack("HBBI", load, 0, 0, 0)]
    for name in names:
        code.append(struct.pack("HBBI", jump_if_equal, 0, 1, _NUMBERS[name]))
        code.append(struct.pack("HBBI", answer, 0, 0, 0x50000 | errno.EPERM))
    code.append(struct.pack("HBBI", answer, 0, 0, 0x7FFF0000))
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(38, 1, 0, 0, 0) == 0
    assert libc.prctl(22, 2, ctypes.byref(Filter(len(code), b"".join(code))), 0, 0) == 0, ctypes.get_errno()


def tried(what, *arguments) -> str:
    """ "done", or the name of the refusal."""
    try:
        what(*arguments)
    except OSError as refused:
        return errno.errorcode.get(refused.errno, type(refused).__name__) if refused.errno else type(refused).__name__
    return "done"


def native_connect(host: str, port: int) -> None:
    """As native code does: no audit hook of Python's sees it."""
    libc = ctypes.CDLL(None, use_errno=True)
    address = struct.pack("=H", socket.AF_INET) + struct.pack("!H", port) + socket.inet_aton(host) + bytes(8)
    handle = libc.socket(socket.AF_INET, socket.SOCK_STREAM, 0)
    try:
        if libc.connect(handle, address, len(address)) != 0:
            raise OSError(ctypes.get_errno(), "connect")
    finally:
        os.close(handle)


def python_connect(host: str, port: int) -> None:
    socket.create_connection((host, port), timeout=2).close()


def probe(spec, workdir: Path) -> dict:
    """What came of each attempt."""
    at = spec.params
    return {
        "python_connect": tried(python_connect, at["host"], at["port"]),
        "native_connect": tried(native_connect, at["host"], at["port"]),
        "read_dataset": tried(Path(spec.dataset).read_bytes),
        "read_private": tried(Path(at["private"]).read_bytes),
        "read_public": tried(Path(at["public"]).read_bytes),
        "read_supervisor": tried(Path(f"/proc/{os.getppid()}/environ").read_bytes),
        "write_public": tried(Path(at["public"]).write_text, "mine"),
        "write_beside": tried((workdir.parent / "planted").write_text, "mine"),
        "write_dataset": tried(Path(spec.dataset).write_text, "mine"),
        "write_inside": tried((Path(spec.output_dir) / "result").write_text, "mine"),
        "become_root": tried(os.setuid, 0),
        "signal_supervisor": tried(os.kill, os.getppid(), 0),
        "environment": dict(os.environ),
        "uid": os.getuid(),
        "capabilities": next(
            line.split()[1] for line in Path("/proc/self/status").read_text().splitlines() if line[:6] == "CapEff"
        ),
    }


def lower(workdir: Path) -> None:
    """Take what spec.json says."""
    params = json.loads((workdir / "spec.json").read_text())["params"]
    if params["unprivileged"] and os.getuid() == 0:
        # It still finds its interpreter where root installed that in a closed folder.
        privileges.become(NOBODY, reads_everything=True)
        # The files under /proc/self are its own again, as those of a program started by an ordinary user.
        assert ctypes.CDLL(None).prctl(4, 1, 0, 0, 0) == 0
    if params["forbid"]:
        forbid(*params["forbid"])


if __name__ == "__main__":
    folder = Path(sys.argv[1]).resolve()
    for codec in ("ascii", "idna"):  # which could not be read later
        codecs.lookup(codec)
    lower(folder)
    job, events, _ = enter(folder)
    events.send("result", **probe(job, folder))
