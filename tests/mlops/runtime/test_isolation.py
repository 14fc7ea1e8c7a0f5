"""A job's process cannot reach the database, another's files or the world, whatever the machine offers to hold it by."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import connections

from mlops.runtime import landlock, privileges
from mlops.runtime.isolation import Walls
from mlops.runtime.spec import JobSpec, ProcessLimits
from mlops.runtime.supervisor import run_child

AS_ROOT = os.geteuid() == 0
REFUSED = {"EACCES", "EPERM", "ENETUNREACH", "PermissionError"}
needs_root = pytest.mark.skipif(not AS_ROOT, reason="NOT TESTED HERE: only root can become another user")
needs_landlock = pytest.mark.skipif(not landlock.version(), reason="NOT TESTED HERE: this kernel offers no Landlock")


def _user_namespaces() -> bool:
    """Whether a user without rights may make one here."""
    switches = {"kernel/unprivileged_userns_clone": "0", "user/max_user_namespaces": "0",
                "kernel/apparmor_restrict_unprivileged_userns": "1"}  # fmt: skip
    for name, off in switches.items():
        switch = Path("/proc/sys") / name
        if switch.exists() and switch.read_text().strip() == off:
            return False
    probe = "import ctypes, sys; sys.exit(ctypes.CDLL(None).unshare(0x50000000) != 0)"
    return subprocess.run([sys.executable, "-c", probe], check=False).returncode == 0


needs_user_namespaces = pytest.mark.skipif(
    not _user_namespaces(), reason="NOT TESTED HERE: this machine permits no user namespaces"
)


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that every user may pass: pytest's own are closed."""
    folder = Path(tempfile.mkdtemp(prefix="millrace-walls-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def job(place: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs the probing child, with less than the machine offers where told so."""
    for name in ("DATABASE_URL", "STRIPE_SECRET_KEY", "SECRET_KEY", "VALKEY_URL"):
        monkeypatch.setenv(name, "hidden-from-jobs")
    (place / "work").mkdir()
    (place / "private").write_text("another's")
    (place / "private").chmod(0o600)
    (place / "public").write_text("anybody's")
    (place / "public").chmod(0o666)
    (place / "dataset").write_text("given")
    (place / "dataset").chmod(0o600)
    database = connections["default"].settings_dict

    def run(*, unprivileged: bool = False, forbid: tuple[str, ...] = ()) -> SimpleNamespace:
        if unprivileged:
            (place / "dataset").chmod(0o644)
        params = {"host": database["HOST"], "port": int(database["PORT"]), "forbid": forbid}
        params |= {"unprivileged": unprivileged, "private": str(place / "private"), "public": str(place / "public")}
        spec = JobSpec("train", "none", params, str(place / "dataset"), str(place / "work/out"))
        events: list[Any] = []
        outcome = run_child(
            spec, workdir=place / "work", on_event=events.append, should_cancel=bool, heartbeat=lambda beat: True,
            limits=ProcessLimits(wall_seconds=60), device_env={}, program="tests.mlops.runtime.walled_child",
        )  # fmt: skip
        assert outcome.code == "ok", outcome.log
        started = next(event.data for event in events if event.kind == "started")
        walls = tuple(started[name] for name in ("network", "files", "user"))
        return SimpleNamespace(walls=walls, weaknesses=started["weaknesses"], **(outcome.result or {}))

    return run


def assert_held(told: SimpleNamespace) -> None:
    """What no job may do on any machine."""
    assert told.python_connect in REFUSED
    assert told.read_private in REFUSED
    assert told.write_beside in REFUSED
    assert told.become_root in REFUSED | {"EINVAL"}  # EINVAL: its user namespace knows no root
    assert "hidden-from-jobs" not in told.environment.values()
    assert told.read_dataset == told.write_inside == "done"


def assert_confined(told: SimpleNamespace) -> None:
    """And what Landlock holds besides: what other users left open."""
    assert told.read_public in REFUSED
    assert told.write_public in REFUSED
    assert told.write_dataset in REFUSED
    assert told.read_supervisor in REFUSED
    assert told.native_connect in REFUSED


@needs_root
@needs_landlock
def test_started_by_root_a_job_is_nobody_and_sees_its_own_folder_only(job: Any, place: Path) -> None:
    told = job()

    assert_held(told)
    assert_confined(told)
    assert (told.walls, told.weaknesses) == (("namespace", "landlock", "dropped"), [])
    assert told.uid == 65534
    assert (place / "work/out/result").stat().st_uid == 65534
    assert (place / "work").stat().st_mode & 0o777 == 0o700
    # At most the right to pass closed folders, where the interpreter lies in one.
    assert int(told.capabilities, 16) in (0, 1 << 2)


@needs_landlock
@needs_user_namespaces
def test_without_root_a_user_namespace_holds_it(job: Any) -> None:
    told = job(unprivileged=True)

    assert_held(told)
    assert_confined(told)
    assert (told.walls, told.weaknesses) == (("user_namespace", "landlock", "unprivileged"), [])
    assert int(told.capabilities, 16) == 0


@needs_landlock
def test_where_namespaces_are_forbidden_landlock_cuts_tcp_off(job: Any) -> None:
    told = job(unprivileged=True, forbid=("unshare",))

    assert_held(told)
    assert_confined(told)
    assert told.walls == ("landlock", "landlock", "unprivileged")
    assert len(told.weaknesses) == 1


def test_where_neither_is_permitted_python_is_held_and_the_machine_is_told(job: Any) -> None:
    told = job(unprivileged=True, forbid=("unshare", "landlock"))

    assert_held(told)
    assert told.walls == ("guard", "permissions", "unprivileged")
    assert len(told.weaknesses) == 2
    assert told.native_connect == "done"  # the weakness is real; a guard that held this would need no such words


@needs_root
def test_root_that_cannot_be_left_is_said_aloud(job: Any) -> None:
    told = job(forbid=("landlock",))

    # The data set of this test is root's own: without Landlock, which bounds the right to read all, nobody reads it.
    assert told.walls == ("namespace", "permissions", "root")
    assert any("as root" in each for each in told.weaknesses)
    assert told.native_connect in REFUSED


def test_every_wall_that_is_weaker_has_words() -> None:
    assert Walls("namespace", "landlock", "dropped").weaknesses == []
    assert len(Walls("guard", "permissions", "root").weaknesses) == 3


@needs_root
def test_who_may_pass_and_read_is_judged_by_modes(place: Path) -> None:
    closed = place / "closed"
    closed.mkdir(mode=0o700)
    (closed / "file").write_text("")
    (closed / "file").chmod(0o600)

    assert privileges.may_pass(65534, [str(place / "anything")])
    assert not privileges.may_pass(65534, [str(closed / "file")])
    assert not privileges.may_read(65534, [str(closed / "file")])
    privileges.hand_over(closed, 65534)
    assert privileges.may_pass(65534, [str(closed / "file")])
    assert privileges.may_read(65534, [str(closed / "file")])


@needs_root
def test_handing_over_follows_no_link(place: Path) -> None:
    (place / "mine").write_text("")
    (place / "folder").mkdir()
    (place / "folder/link").symlink_to(place / "mine")

    privileges.hand_over(place / "folder", 65534)

    assert (place / "mine").stat().st_uid == 0
