"""Whom one may log in as where the demo has been played; production has no such people."""

from dataclasses import dataclass

PASSWORD = "mill-wheel-turns-42"  # noqa: S105 - printed on the terminal of `make dev`, of no use elsewhere


@dataclass(frozen=True)
class Login:
    """A person of the story."""

    who: str
    email: str


LOGINS = (
    Login("customer, owner of a tenant", "ada@millrace.localhost"),
    Login("partner", "paul@millrace.localhost"),
    Login("operator (staff pages under /ops/)", "olga@millrace.localhost"),
)
