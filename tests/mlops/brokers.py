"""A Valkey of a test's own, which it may cut off, stop, fail over and silence."""

import contextlib
import signal
import socket
import subprocess
import threading
from pathlib import Path

import redis

from millrace.embedded import processes
from millrace.embedded.valkey import Valkey


class Broker:
    """The server; `url` reaches it directly."""

    def __init__(self, folder: Path) -> None:
        self._server = Valkey(folder, secrets={"valkey": "only-here"}, disposable=False)
        self.port = free_port()
        self.url = self._server.url(self.port)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns when it answers."""
        self._process = self._server.start(self.port)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Every connection breaks; new ones are refused."""
        if self._process is not None:
            processes.end(self._process, number)
            self._process = None

    def cut(self) -> int:
        """Closes every connection but its own, as a firewall does; says how many."""
        return sum(int(self.tell("CLIENT", "KILL", "TYPE", kind)) for kind in ("normal", "pubsub"))

    def tell(self, *command: str) -> object:
        """One command to the server."""
        with redis.Redis.from_url(self.url) as client:
            return client.execute_command(*command)

    def waiting(self, queue: str) -> int:
        """Messages in a queue, and those that somebody took and did not acknowledge."""
        with redis.Redis.from_url(self.url) as client:
            return client.llen(queue) + client.hlen("unacked")


class Relay:
    """A way to the broker that can fall silent: connections stay open and nothing comes through any more."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._doors = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._doors.getsockname()[1]
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def silence(self) -> int:
        """What is connected now is never heard of again, nor told that; new connections work. Says how many."""
        pairs, self._pairs = self._pairs, []
        for _, server in pairs:
            with contextlib.suppress(OSError):
                server.shutdown(socket.SHUT_RDWR)  # the pump towards the client ends and leaves its socket open
        return len(pairs)

    def close(self) -> None:
        """No more."""
        self._doors.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._doors.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._to))
            self._pairs.append((client, server))
            for source, target in ((client, server), (server, client)):
                threading.Thread(target=_pump, args=(source, target), daemon=True).start()


def _pump(source: socket.socket, target: socket.socket) -> None:
    """Carries bytes; what cannot be delivered is swallowed, as by a machine that is gone."""
    with contextlib.suppress(OSError):
        while block := source.recv(65536):
            with contextlib.suppress(OSError):
                target.sendall(block)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]
