"""Where the embedded services keep their things: `<repository>/var`, or the folder that MILLRACE_VAR names."""

import os
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
KINDS = ("dev", "test", "demo", "bench", "chaos")


def var() -> Path:
    """The folder of everything that a run leaves behind."""
    return Path(os.environ.get("MILLRACE_VAR") or ROOT / "var").resolve()


@dataclass(frozen=True)
class Home:
    """The files of one kind of services: each kind has servers and data of its own."""

    kind: str

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"unknown kind of services {self.kind!r}; known are {', '.join(KINDS)}")

    @property
    def folder(self) -> Path:
        """Data and logs."""
        return var() / "embedded" / self.kind

    @property
    def state(self) -> Path:
        """Addresses of the running servers, as their keeper last wrote them."""
        return var() / "embedded" / f"{self.kind}.json"

    @property
    def secrets(self) -> Path:
        """Passwords of this kind's servers, made once, readable by their owner only."""
        return var() / "embedded" / f"{self.kind}.secrets.json"

    @property
    def starting(self) -> Path:
        """Locked by whoever is about to start a keeper, so that two commands start one."""
        return var() / "embedded" / f"{self.kind}.starting"

    @property
    def keeping(self) -> Path:
        """Locked by the keeper for as long as it lives: the kernel frees it even after kill -9."""
        return var() / "embedded" / f"{self.kind}.keeping"

    @property
    def holding(self) -> Path:
        """Locked, shared, by every process that uses the servers: when nobody holds it, they stop."""
        return var() / "embedded" / f"{self.kind}.holding"

    @property
    def keeper_log(self) -> Path:
        """What the keeper did and why."""
        return self.folder / "keeper.log"

    def prepare(self) -> None:
        """Make the folders."""
        self.folder.mkdir(parents=True, exist_ok=True)
