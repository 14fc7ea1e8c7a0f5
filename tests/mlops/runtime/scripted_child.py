"""A job's process without torch, which does what `params["script"]` says: for tests of the supervisor."""

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from mlops.runtime.child import enter


def finish(spec, events, stop):
    os.write(1, b"out and\n")
    os.write(2, b"err\n")
    for step in (1, 2, 3):
        path = Path(spec.output_dir) / f"step-{step}"
        path.write_text(str(step))
        events.send("checkpoint", path=str(path), step=step, epoch=0)
        time.sleep(0.02)
    events.send("result", answer=42)
    return 0


def until_told(spec, events, stop):
    events.send("progress", step=1)
    while not stop():
        time.sleep(0.02)
    path = Path(spec.output_dir) / "step-9"
    path.write_text("9")
    events.send("checkpoint", path=str(path), step=9, epoch=0)
    events.send("canceled")
    return 0


def deaf(spec, events, stop):
    """Ignores every request to stop, and so does its grandchild."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
    grandchild = subprocess.Popen([sys.executable, "-c", code])
    events.send("progress", step=1, grandchild=grandchild.pid)
    time.sleep(600)
    return 0


def leave_a_grandchild(spec, events, stop):
    grandchild = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    events.send("result", grandchild=grandchild.pid)
    return 0


def eat_memory(spec, events, stop):
    path = Path(spec.output_dir) / "step-1"
    path.write_text("1")
    events.send("checkpoint", path=str(path), step=1, epoch=0)
    hoard = []
    while True:
        hoard.append(b"x" * 4_000_000)
        time.sleep(0.005)


def burn(spec, events, stop):
    while True:
        pass


def die(spec, events, stop):
    os.kill(os.getpid(), signal.SIGSEGV)


def kill_itself(spec, events, stop):
    os.kill(os.getpid(), signal.SIGKILL)


def garble(spec, events, stop):
    os.write(events._descriptor, b'{"kind": "result"\n')
    time.sleep(600)
    return 0


def point_outside(spec, events, stop):
    events.send("checkpoint", path="/etc/passwd", step=1, epoch=0)
    time.sleep(600)
    return 0


def flood(spec, events, stop):
    for _ in range(200):
        sys.stdout.write("x" * 100_000)
    sys.stdout.write("the end")
    sys.stdout.flush()
    events.send("result", done=True)
    return 0


def tell_surroundings(spec, events, stop):
    try:
        with socket.create_connection(("127.0.0.1", spec.params["port"]), timeout=2):
            reached = "connected"
    except OSError as refused:
        reached = type(refused).__name__
    events.send(
        "result",
        environment=dict(os.environ),
        reached=reached,
        session=os.getsid(0),
        pid=os.getpid(),
        stdin=os.readlink("/proc/self/fd/0"),
        privileges=ctypes.CDLL(None).prctl(39, 0, 0, 0, 0),
        torch="torch" in sys.modules,
        command=Path("/proc/self/cmdline").read_text().split("\0"),
    )
    return 0


def refuse(spec, events, stop):
    events.send("error", code="params_invalid", message="no\0t so")
    return 1


if __name__ == "__main__":
    job = enter(Path(sys.argv[1]).resolve())
    sys.exit(globals()[job[0].params["script"]](*job))
