"""Starting, watching and ending the processes of the embedded services."""

import ctypes
import os
import pwd
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from millrace.embedded.errors import EmbeddedError

PR_SET_PDEATHSIG = 1


def free_port(wanted: int | None = None) -> int:
    """A free loopback TCP port: `wanted` where nobody has taken it, otherwise one the kernel picks."""
    for port in [wanted, 0] if wanted else [0]:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port or 0))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise EmbeddedError("no free TCP port on 127.0.0.1")


def port_answers(port: int, timeout: float = 0.5) -> bool:
    """Whether something listens on 127.0.0.1:`port`."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=timeout):
            return True
    except OSError:
        return False


def new_password() -> str:
    """A password that needs no quoting in a URL."""
    return secrets.token_urlsafe(24)


def die_with_parent(death_signal: signal.Signals) -> Callable[[], None]:
    """A function for the child to run before exec: the kernel sends it `death_signal` when its parent dies."""
    parent = os.getpid()
    library = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None

    def ask_kernel() -> None:
        if library is None:
            return
        library.prctl(PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)
        if os.getppid() != parent:  # the parent died between fork and prctl
            os.kill(os.getpid(), signal.SIGKILL)

    return ask_kernel


def spawn(
    command: Sequence[str | Path],
    *,
    log: Path,
    death_signal: signal.Signals = signal.SIGTERM,
    user: pwd.struct_passwd | None = None,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> subprocess.Popen[bytes]:
    """Start `command` in a session of its own, output appended to `log`, gone when this process is gone.

    Call it from the main thread: the kernel ties the death signal to the thread that forked.
    """
    with log.open("ab") as output:
        return subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            # The kernel forgets the death signal on a change of user, so it is asked for after that.
            preexec_fn=die_with_parent(death_signal),
            user=user.pw_uid if user else None,
            group=user.pw_gid if user else None,
            extra_groups=[] if user else None,
            env=dict(environment) if environment is not None else None,
            cwd=folder,
        )


def wait_ready(
    process: subprocess.Popen[bytes], is_ready: Callable[[], bool], *, name: str, log: Path, seconds: float = 30
) -> None:
    """Return once `is_ready()`; raise `EmbeddedError` with the log's end when the process dies or takes longer."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise EmbeddedError(f"{name} ended with status {process.returncode} at start; {log} ends:\n{tail(log)}")
        if is_ready():
            return
        time.sleep(0.02)
    raise EmbeddedError(f"{name} was not ready after {seconds:g} s; {log} ends:\n{tail(log)}")


def end(process: subprocess.Popen[bytes], first: signal.Signals = signal.SIGTERM, *, seconds: float = 10) -> None:
    """Ask the process to stop with `first`; kill its whole session when it has not within `seconds`."""
    if process.poll() is None:
        process.send_signal(first)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def tail(log: Path, lines: int = 15) -> str:
    """The last lines of a log, indented for an error message."""
    if not log.exists():
        return "  (no log)"
    last = log.read_text(errors="replace").splitlines()[-lines:]
    return "\n".join(f"  {line}" for line in last) or "  (empty)"
