"""The ground everything stands on: importability, the doors, pinned versions, and nothing tied to one machine."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOORS = ("help", "setup", "demo", "dev", "test", "check", "bench", "chaos", "stop", "clean")
# Written in two parts, so that this file itself does not hold what it looks for.
REGISTRY_HOSTS = ("pypi" + ".org", "files.python" + "hosted", "download.py" + "torch")
MACHINE_PATHS = ("/ro" + "ot/", "/wo" + "rk/")
# A line that must name a Unix folder which only looks like a machine's own says why here: (file, text of the line).
MEANT: set[tuple[str, str]] = set()


def _tracked_files() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.decode()
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]


def _text(path: Path) -> str:
    content = path.read_bytes()
    return "" if b"\0" in content else content.decode(errors="replace")


def _python(code: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)


def test_import_platform_is_pythons_own():
    found = _python("import platform; print(platform.system())")

    assert found.returncode == 0, found.stderr
    assert found.stdout.strip() in {"Linux", "Darwin"}
    assert not (ROOT / "platform" / "__init__.py").exists()


@pytest.mark.parametrize("package", ["stripe", "celery", "torch"])
def test_packages_that_ask_for_the_platform_import_from_the_root(package: str):
    found = _python(f"import {package}; print({package}.__name__)")

    assert found.returncode == 0, found.stderr
    assert found.stdout.strip() == package


@pytest.mark.parametrize("door", DOORS)
def test_every_door_is_in_the_makefile_and_in_its_help(door: str):
    dry = subprocess.run(["make", "--dry-run", door], cwd=ROOT, capture_output=True, text=True, check=False)
    listed = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True).stdout

    assert dry.returncode == 0, dry.stderr
    assert re.search(rf"^  {door} ", listed, re.MULTILINE)


@pytest.mark.parametrize("path", [".ci/run", "deploy/setup.sh", "manage.py"])
def test_entry_points_are_executable(path: str):
    assert (ROOT / path).stat().st_mode & 0o111


@pytest.mark.parametrize("path", [".ci/run", "deploy/setup.sh"])
def test_shell_scripts_parse(path: str):
    checked = subprocess.run(["bash", "-n", path], cwd=ROOT, capture_output=True, text=True, check=False)

    assert checked.returncode == 0, checked.stderr


@pytest.mark.parametrize("forbidden", REGISTRY_HOSTS + MACHINE_PATHS)
def test_no_tracked_file_names_a_registry_host_or_a_machines_path(forbidden: str):
    found = [
        f"{path.relative_to(ROOT)}: {line.strip()[:120]}"
        for path in _tracked_files()
        for line in _text(path).splitlines()
        if forbidden in line and (str(path.relative_to(ROOT)), line.strip()) not in MEANT
    ]

    assert found == []


def test_everything_that_setup_installs_is_pinned():
    listed = subprocess.run(
        [sys.executable, "deploy/pins.py"], cwd=ROOT, capture_output=True, text=True, check=False
    )  # fmt: skip

    assert listed.returncode == 0, listed.stderr
    installed = dict(line.split("==", 1) for line in listed.stdout.splitlines() if not line.startswith("#"))
    assert "django" in installed
    assert installed.keys() - _pins().keys() == set(), "run: python deploy/pins.py > constraints.txt"


def test_pins_are_exact_and_fit_every_build():
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and not line.startswith("#")]

    loose = [line for line in lines if not re.fullmatch(r"[a-z0-9-]+==[0-9][0-9a-z.]*", line)]

    assert loose == []
    assert _pins()["torch"] == "2.13.0"
    assert [name for name in _pins() if name.startswith("nvidia-")] == []


def _pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return dict(line.split("==", 1) for line in lines if line and not line.startswith("#"))
