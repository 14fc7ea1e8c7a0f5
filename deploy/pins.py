"""Prints constraints.txt anew from the packages of the running environment: python deploy/pins.py > constraints.txt

Only what pyproject.toml asks for, with all that this brings along; a build's suffix (torch's +cpu) is left out, and what
a GPU build of torch brings, which names exact versions itself: so every build of that version fits.
"""

import re
import sys
import tomllib
from collections.abc import Iterable
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement

# What only an older patch of a Python needs, so that it is not installed everywhere: redis, below 3.11.3 (Debian's is).
_ELSEWHERE = {"async-timeout": "5.0.1"}
_OF_GPU_BUILDS = ("nvidia-", "cuda-", "triton")
HEADER = """\
# Versions that the tests ran with: `pip install -c constraints.txt …` (make setup does) gets exactly these.
# Written by deploy/pins.py; torch is named without its build suffix, so that CPU and GPU builds both fit.
"""


def asked_for(pyproject: Path) -> list[Requirement]:
    """The direct dependencies, with those of every extra."""
    project = tomllib.loads(pyproject.read_text())["project"]
    extras = project["optional-dependencies"].values()
    return [Requirement(text) for text in [*project["dependencies"], *(each for extra in extras for each in extra)]]


def closure(requirements: Iterable[Requirement]) -> dict[str, str]:
    """Name and version of everything that the requirements bring to this system and interpreter.

    Raises `PackageNotFoundError` where one of them is not installed.
    """
    waiting, done, pins = list(requirements), set(), {}
    while waiting:
        wanted = waiting.pop()
        key = (_normal(wanted.name), frozenset(wanted.extras))
        if key in done:
            continue
        done.add(key)
        found = distribution(wanted.name)
        pins[_normal(wanted.name)] = found.version.partition("+")[0]
        waiting += [each for each in map(Requirement, found.requires or []) if _applies(each, wanted.extras)]
    return pins


def _applies(requirement: Requirement, extras: set[str]) -> bool:
    if _normal(requirement.name).startswith(_OF_GPU_BUILDS):
        return False
    marker = requirement.marker
    return marker is None or any(marker.evaluate({"extra": extra}) for extra in extras | {""})


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    pins = _ELSEWHERE | closure(asked_for(Path(__file__).resolve().parents[1] / "pyproject.toml"))
    sys.stdout.write(HEADER + "".join(f"{name}=={version}\n" for name, version in sorted(pins.items())))
