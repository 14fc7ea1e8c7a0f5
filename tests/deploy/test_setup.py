"""deploy/setup.sh and .ci/run, with a Python, a pip and a make that only play their parts."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# What the scripts call besides Python and make.
COMMANDS = """
awk basename bash cat chmod cp dirname env expand flock grep head id mkdir mktemp printf rm sed tail tee touch
""".split()  # noqa: SIM905 - a list of words reads better as words
PLAYED_PYTHON = """#!/bin/bash
echo "python $*" >> "$CALLS"
case "$1 $2" in
    "-c import"*) exit ${PYTHON_TOO_OLD:-0} ;;
    "--version "*) echo "Python 3.11.9" ;;
    "-m venv") mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
    "-m pip")
        case "$*" in
            *"${PIP_FAILS_AT:-never}"*) echo "ERROR: No matching distribution found"; exit 1 ;;
            *) echo "Collecting everything" ;;
        esac ;;
    "- "*) cat > /dev/null; echo "hash-of-$(cat constraints.txt)" ;;
esac
"""
PLAYED_MAKE = """#!/bin/bash
echo "make $*" >> "$CALLS"
door="${!#}"
[ "$door" = test ] && echo "===== ${PYTEST_SAYS:-3 passed in 1.0s} ====="
case " $FAILING " in *" $door "*) exit 2 ;; esac
exit 0
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with the two scripts, and a PATH of its own in ./bin."""
    for path in ("deploy/setup.sh", ".ci/run"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / path, tmp_path / path)
    (tmp_path / "pyproject.toml").write_text("")
    (tmp_path / "constraints.txt").write_text("one")
    commands = tmp_path / "bin"
    commands.mkdir()
    for name in COMMANDS:
        found = shutil.which(name)
        if found:
            (commands / name).symlink_to(found)
    for name, text in {"python3": PLAYED_PYTHON, "make": PLAYED_MAKE, "chromium": "#!/bin/bash\n"}.items():
        (commands / name).write_text(text)
        (commands / name).chmod(0o755)
    return tmp_path


def _run(checkout: Path, script: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    alone = {"PATH": str(checkout / "bin"), "HOME": str(checkout), "CALLS": str(checkout / "calls")}
    return subprocess.run(
        [str(checkout / "bin/bash"), str(checkout / script)],
        cwd=checkout,
        env=alone | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def _calls(checkout: Path, beginning: str) -> list[str]:
    return [line for line in (checkout / "calls").read_text().splitlines() if line.startswith(beginning)]


def test_torch_is_installed_first_and_alone(checkout: Path):
    done = _run(checkout, "deploy/setup.sh")

    assert done.returncode == 0, done.stderr
    installs = _calls(checkout, "python -m pip install")
    assert len(installs) == 2
    assert installs[0].endswith("-c constraints.txt torch==2.13.0")
    assert installs[1].endswith("-c constraints.txt -e .[worker,data,embedded,dev]")
    assert "1/3" in done.stdout
    assert "done in" in done.stdout


def test_a_second_setup_does_nothing_until_the_packages_change(checkout: Path):
    _run(checkout, "deploy/setup.sh")

    again = _run(checkout, "deploy/setup.sh")
    assert again.stdout == ""
    assert len(_calls(checkout, "python -m pip install")) == 2

    (checkout / "constraints.txt").write_text("two")
    changed = _run(checkout, "deploy/setup.sh")
    assert changed.returncode == 0
    assert len(_calls(checkout, "python -m pip install")) == 4


def test_a_failed_install_is_explained_and_tried_again(checkout: Path):
    failed = _run(checkout, "deploy/setup.sh", PIP_FAILS_AT="-e .[worker")

    assert failed.returncode == 1
    assert "No matching distribution found" in failed.stderr
    assert "make setup" in failed.stderr
    assert _run(checkout, "deploy/setup.sh").returncode == 0
    assert len(_calls(checkout, "python -m pip install")) == 4


def test_a_missing_python_is_explained(checkout: Path):
    refused = _run(checkout, "deploy/setup.sh", PYTHON_TOO_OLD="1")

    assert refused.returncode == 1
    assert "Python 3.11, 3.12 or 3.13 is needed" in refused.stderr
    assert not (checkout / ".venv").exists()


def test_ci_runs_setup_check_and_test_and_repeats_what_pytest_said(checkout: Path):
    done = _run(checkout, ".ci/run", PYTEST_SAYS="41 passed, 1 skipped in 9.1s", FAILING="")

    assert done.returncode == 0, done.stderr
    assert [call.split()[-1] for call in _calls(checkout, "make")] == ["setup", "check", "test", "stop"]
    assert "CI: pytest said: ===== 41 passed, 1 skipped in 9.1s =====" in done.stdout
    assert done.stdout.rstrip().splitlines()[-1].startswith("CI: all passed")


@pytest.mark.parametrize("door", ["check", "test"])
def test_ci_fails_when_a_door_fails_but_runs_the_other(checkout: Path, door: str):
    done = _run(checkout, ".ci/run", FAILING=door)

    assert done.returncode == 1
    assert f"CI: FAILED: {door}" in done.stdout
    assert {call.split()[-1] for call in _calls(checkout, "make")} >= {"check", "test"}


def test_ci_stops_when_setup_fails(checkout: Path):
    done = _run(checkout, ".ci/run", FAILING="setup")

    assert done.returncode == 1
    assert [call.split()[-1] for call in _calls(checkout, "make")] == ["setup"]


def test_ci_says_loudly_that_there_is_no_browser_and_goes_on(checkout: Path):
    (checkout / "bin/chromium").unlink()

    done = _run(checkout, ".ci/run", FAILING="")

    assert done.returncode == 0
    assert "No Chromium" in done.stderr
    assert "SKIPPED" in done.stderr
