"""What a keeper and its users tell one another through files."""

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

from millrace.embedded.places import Home
from millrace.embedded.processes import new_password

SECRET_NAMES = ("postgres", "millrace_owner", "millrace_app", "valkey", "stripe_webhook")


@dataclass(frozen=True)
class Running:
    """One server that runs: process id and loopback port."""

    pid: int
    port: int


@dataclass
class State:
    """The servers of one kind; `is_ready` is False while one of them starts or is being replaced."""

    keeper: int
    is_ready: bool = False
    error: str = ""
    parts: dict[str, Running] = field(default_factory=dict)

    def write(self, home: Home) -> None:
        """Replace the state file in one step, so that no reader meets half of it."""
        _write(home.state, asdict(self))

    @classmethod
    def read(cls, home: Home) -> "State | None":
        """The last state written, or None before the first start."""
        try:
            raw = json.loads(home.state.read_text())
        except FileNotFoundError:
            return None
        raw["parts"] = {name: Running(**part) for name, part in raw["parts"].items()}
        return cls(**raw)


def load_secrets(home: Home) -> dict[str, str]:
    """This kind's passwords, made at the first call. Call it under the keeper's lock."""
    known: dict[str, str] = json.loads(home.secrets.read_text()) if home.secrets.exists() else {}
    missing = [name for name in SECRET_NAMES if name not in known]
    if missing:
        known |= {name: new_password() for name in missing}
        _write(home.secrets, known)
    return known


def _write(path: Path, content: dict[str, object] | dict[str, str]) -> None:
    fresh = path.with_name(f"{path.name}.{os.getpid()}.new")
    fresh.touch(mode=0o600)
    fresh.write_text(json.dumps(content, indent=1) + "\n")
    fresh.replace(path)
