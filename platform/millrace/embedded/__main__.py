"""`python -m millrace.embedded start|stop|status [dev|test|…]`: the embedded services by hand; all kinds of them where
none is named."""

import sys

from millrace.embedded.errors import EmbeddedError
from millrace.embedded.locks import is_locked
from millrace.embedded.places import KINDS, Home
from millrace.embedded.services import ensure_services, stop_services
from millrace.embedded.state import State

USAGE = f"usage: python -m millrace.embedded start|stop|status [{'|'.join(KINDS)}] …"


def main(arguments: list[str]) -> int:
    """Run one command; 2 for a command line that makes no sense."""
    command, kinds = (arguments[0] if arguments else "status"), tuple(arguments[1:]) or KINDS
    if command not in {"start", "stop", "status"} or not set(kinds) <= set(KINDS):
        sys.stderr.write(USAGE + "\n")
        return 2
    try:
        for kind in kinds:
            sys.stdout.write(f"{kind}: {_do(command, kind)}\n")
            sys.stdout.flush()
        if command == "start":
            sys.stdout.write("they run until Enter or Ctrl-C\n")
            sys.stdout.flush()
            sys.stdin.readline()
    except EmbeddedError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _do(command: str, kind: str) -> str:
    if command == "stop":
        return "stopped" if stop_services(kind) else "not running"
    if command == "start":
        services = ensure_services(kind)
        return f"{services.database_url_owner}  {services.valkey_url}  {services.stripe_base}"
    home = Home(kind)
    state = State.read(home) if is_locked(home.keeping) else None
    if state is None:
        return "not running"
    parts = ", ".join(f"{name} on port {part.port} (pid {part.pid})" for name, part in state.parts.items())
    return f"{'ready' if state.is_ready else 'starting'}: {parts}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
