"""The embedded servers: started once, found again, replaced when killed, gone when nobody needs them."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
import redis

from millrace.embedded import EmbeddedError, Services, ensure_services, stop_services
from millrace.embedded.places import KINDS, ROOT
from millrace.embedded.postgres import Postgres
from millrace.embedded.sandbox import Sandbox

ENSURE = """
import json, sys
from millrace.embedded import ensure_services
print(ensure_services("test").database_url_owner, flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Servers of this test alone; whatever it leaves running is stopped and must be gone."""
    tmp_path.chmod(0o755)
    monkeypatch.setenv("MILLRACE_VAR", str(tmp_path / "var"))
    monkeypatch.setenv("MILLRACE_LINGER", "0.2")
    yield
    for kind in KINDS:
        stop_services(kind)
    assert _processes_of(tmp_path) == []


def _processes_of(folder: Path) -> list[str]:
    """Command lines of living processes that name `folder`, or were started for it."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            environment = (entry / "environ").read_bytes().decode(errors="replace")
        except OSError:
            continue  # it ended while we looked
        is_keeper = "millrace.embedded.keeper" in line and f"MILLRACE_VAR={folder / 'var'}" in environment
        if line and (str(folder) in line or is_keeper):
            found.append(line)
    return found


def _other_command() -> "subprocess.Popen[str]":
    """Another command that uses the test services until its standard input closes."""
    return subprocess.Popen(
        [sys.executable, "-c", ENSURE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": f"{ROOT / 'platform'}:{ROOT}"},
    )


def _state(kind: str = "test") -> dict[str, Any]:
    state: dict[str, Any] = json.loads((Path(os.environ["MILLRACE_VAR"]) / "embedded" / f"{kind}.json").read_text())
    return state


def _answer(services: Services) -> str:
    """Ask both servers something, so that "runs" means more than an open port."""
    with redis.Redis.from_url(services.valkey_url) as client:
        client.set("asked", "yes")
    with psycopg.connect(services.database_url_owner) as connection:
        row = connection.execute("SELECT current_user").fetchone()
    assert row is not None
    return str(row[0])


def _eventually(is_so: Callable[[], bool], seconds: float = 60) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if is_so():
            return True
        time.sleep(0.05)
    return is_so()


def _kill(pid: int) -> None:
    """kill -9, and wait until the kernel has carried it out."""
    os.kill(pid, signal.SIGKILL)
    assert _eventually(lambda: not _lives(pid))


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def test_starts_with_an_owner_that_is_no_superuser():
    services = ensure_services("test")

    assert _answer(services) == "millrace_owner"
    with psycopg.connect(services.database_url_owner) as connection:
        role = connection.execute(
            "SELECT rolsuper, rolbypassrls, rolcreatedb, rolcreaterole FROM pg_roles WHERE rolname = current_user"
        ).fetchone()
        owner = connection.execute(
            "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = current_database()"
        ).fetchone()
    assert role == (False, False, True, True)
    assert owner == ("millrace_owner",)


def test_owner_can_make_the_application_roles_of_the_kernel():
    services = ensure_services("test")

    with psycopg.connect(services.database_url_owner) as connection:
        connection.execute("CREATE ROLE millrace_platform NOLOGIN NOSUPERUSER NOBYPASSRLS")
        connection.execute("CREATE ROLE millrace_app LOGIN NOSUPERUSER NOBYPASSRLS PASSWORD 'secret'")
        connection.execute("GRANT millrace_platform TO millrace_app")


def test_a_password_is_asked_for():
    services = ensure_services("test")
    port = _state()["parts"]["postgres"]["port"]

    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(f"postgres://postgres@127.0.0.1:{port}/postgres")
    with redis.Redis(port=_state()["parts"]["valkey"]["port"]) as client:
        with pytest.raises(redis.exceptions.AuthenticationError):
            client.ping()
    assert _answer(services) == "millrace_owner"


def test_is_found_again_without_a_second_start(monkeypatch: pytest.MonkeyPatch):
    first = ensure_services("test")
    for slow in ("_healed", "_start"):
        monkeypatch.setattr(f"millrace.embedded.services.{slow}", lambda home: pytest.fail("it was looked for"))

    assert ensure_services("test") == first


def test_another_command_finds_the_same_servers():
    mine = ensure_services("test")

    with _other_command() as other:
        assert other.stdout is not None
        theirs = other.stdout.readline().strip()
        other.communicate("")

    assert theirs == mine.database_url_owner
    assert _answer(mine) == "millrace_owner"


def test_two_concurrent_starts_share_one():
    commands = [_other_command() for _ in range(3)]
    addresses = {command.stdout.readline().strip() for command in commands if command.stdout}
    keepers = [line for line in _processes_of(Path(os.environ["MILLRACE_VAR"]).parent) if "keeper" in line]

    assert len(addresses) == 1
    assert addresses != {""}
    assert len(keepers) == 1
    for command in commands:
        command.communicate("")


@pytest.mark.parametrize("name", ["postgres", "valkey"])
def test_a_killed_server_is_replaced_on_its_port(name: str):
    services = ensure_services("test")
    before = _state()["parts"][name]

    _kill(before["pid"])
    after = ensure_services("test")

    assert _eventually(lambda: _state()["parts"][name]["pid"] != before["pid"])
    assert ensure_services("test") == after == services
    assert _answer(after) == "millrace_owner"


def test_committed_rows_of_a_development_cluster_survive_a_killed_server():
    services = ensure_services("dev")
    with psycopg.connect(services.database_url_owner) as connection:
        connection.execute("CREATE TABLE kept (n int)")
        connection.execute("INSERT INTO kept VALUES (7)")

    _kill(_state("dev")["parts"]["postgres"]["pid"])

    with psycopg.connect(ensure_services("dev").database_url_owner) as connection:
        assert connection.execute("SELECT n FROM kept").fetchall() == [(7,)]


def test_a_lock_file_whose_number_is_another_postgres_by_now_hurts_nobody(tmp_path: Path):
    stranger = subprocess.Popen([shutil.copy(shutil.which("sleep") or "", tmp_path / "postgres-of-others"), "60"])
    cluster = Postgres(tmp_path, secrets={}, disposable=False)
    lock = cluster.data / "postmaster.pid"
    cluster.data.mkdir()
    lock.write_text(f"{stranger.pid}\n{cluster.data}\n")

    cluster._end_orphan()

    assert stranger.poll() is None
    assert not lock.exists()  # PostgreSQL would take the living process for a server of its own, and not start
    stranger.kill()
    stranger.wait()


def test_a_server_that_outlived_its_keeper_is_ended(tmp_path: Path):
    cluster = Postgres(tmp_path, secrets={}, disposable=False)
    lock = cluster.data / "postmaster.pid"
    cluster.data.mkdir()
    program = f"import signal, pathlib; signal.signal(signal.SIGINT, lambda *_: (pathlib.Path({str(lock)!r}).unlink(), exit(0)))"
    orphan = subprocess.Popen(
        [sys.executable, "-c", f"{program}; print(flush=True)\nwhile True: signal.pause()", "/bin/postgres", "-D",
         str(cluster.data), "-c"],
        stdout=subprocess.PIPE,
    )  # fmt: skip
    assert orphan.stdout is not None
    orphan.stdout.readline()
    lock.write_text(f"{orphan.pid}\n")

    cluster._end_orphan()

    assert orphan.wait(10) == 0


def test_a_killed_keeper_takes_its_servers_along_and_is_replaced():
    first = ensure_services("test")
    state = _state()

    _kill(state["keeper"])
    second = ensure_services("test")

    assert _state()["keeper"] != state["keeper"]
    assert _answer(second) == "millrace_owner"
    assert second.kind == first.kind
    for name in ("postgres", "valkey"):
        old = state["parts"][name]["pid"]
        assert _eventually(lambda pid=old: not _lives(pid))  # type: ignore[misc]


def test_stops_cleanly_and_says_whether_it_ran(tmp_path: Path):
    ensure_services("test")

    assert stop_services("test") is True

    assert _processes_of(tmp_path) == []
    assert not (tmp_path / "var" / "embedded" / "test" / "postgres" / "postmaster.pid").exists()
    assert stop_services("test") is False


def test_servers_end_after_their_last_user_even_a_killed_one(tmp_path: Path):
    other = _other_command()
    assert other.stdout is not None
    assert other.stdout.readline().startswith("postgres://")

    other.kill()
    other.communicate()

    assert _eventually(lambda: _processes_of(tmp_path) == [])


def test_servers_stay_while_one_of_two_users_remains(tmp_path: Path):
    services = ensure_services("test")
    other = _other_command()
    assert other.stdout is not None
    other.stdout.readline()

    other.communicate("")
    time.sleep(1)  # five times the linger

    assert _answer(services) == "millrace_owner"


def test_ports_and_passwords_are_remembered():
    first = ensure_services("test")

    stop_services("test")
    second = ensure_services("test")

    assert second == first


def test_a_broken_test_cluster_is_made_anew(tmp_path: Path):
    ensure_services("test")
    stop_services("test")
    (tmp_path / "var" / "embedded" / "test" / "postgres" / "global" / "pg_control").write_bytes(b"damaged")

    services = ensure_services("test")

    assert _answer(services) == "millrace_owner"


def test_a_failed_start_is_said_with_the_log(tmp_path: Path):
    data = tmp_path / "var" / "embedded" / "dev" / "postgres"
    data.mkdir(parents=True)
    (data / "PG_VERSION").write_text("17\n")

    with pytest.raises(EmbeddedError, match="made by PostgreSQL 17"):
        ensure_services("dev")

    assert (data / "PG_VERSION").read_text() == "17\n"


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="known are dev, test, demo"):
        ensure_services("staging")


@pytest.mark.parametrize("mode", [0o755, 0o700], ids=["open", "closed"])
def test_starts_below_a_folder_that_is(mode: int, monkeypatch: pytest.MonkeyPatch):
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        Path(folder).chmod(mode)
        monkeypatch.setenv("MILLRACE_VAR", f"{folder}/var")

        services = ensure_services("test")

        assert _answer(services) == "millrace_owner"
        assert Path(folder).stat().st_mode & 0o777 == mode  # nobody was let in for it
        pid = _state()["parts"]["postgres"]["pid"]
        assert Path(f"/proc/{pid}").stat().st_uid != 0
        stop_services("test")


def test_a_keeper_killed_while_postgres_runs_as_another_user_leaves_nothing(monkeypatch: pytest.MonkeyPatch):
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        monkeypatch.setenv("MILLRACE_VAR", f"{folder}/var")
        ensure_services("test")
        state = _state()

        _kill(state["keeper"])

        assert _eventually(lambda: not _lives(state["parts"]["postgres"]["pid"]))
        assert _eventually(lambda: not _lives(state["parts"]["valkey"]["pid"]))


def test_a_relative_folder_is_the_callers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MILLRACE_VAR", "here")

    services = ensure_services("test")

    assert services.folder == tmp_path / "here" / "embedded" / "test"
    assert _answer(services) == "millrace_owner"


@pytest.mark.skipif(not Sandbox.is_installed(), reason="this checkout has no sandbox")
def test_the_sandbox_answers_and_tests_begin_without_its_books():
    services = ensure_services("test")
    answer = httpx.get(f"{services.stripe_base}/v1/customers", auth=("sk_test_millrace", ""))
    books = services.folder / "sandbox"
    (books / "left-over").write_text("from a former run")

    stop_services("test")
    again = ensure_services("test")

    assert answer.status_code < 500
    assert again.stripe_base == services.stripe_base
    assert books.is_dir()
    assert not (books / "left-over").exists()
