"""Business time on the demo's data: it stops with the last program and goes on from there at the next `make dev`.

The story plays in a month of its own. On the machine's time, every page that shows "this month" would be empty, and
the sandbox would bill all the months in between.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

from django.conf import settings

from millrace.kernel import clock
from millrace.story.connections import connection

REREAD_SECONDS = 0.15  # every process rereads the clock more often than this
SHORTEST_MONTH = timedelta(days=25)  # from the story's end to the next billing day
_FILE = "business-time"


def sandbox_is_stripe() -> bool:
    """Whether Stripe is our own sandbox on this machine, whose controls may be used."""
    return urlsplit(settings.STRIPE_API_BASE).hostname in {"127.0.0.1", "localhost", "::1"}


def sandbox(method: str, path: str, body: dict | None = None) -> dict:
    """One call to the Stripe sandbox's own controls."""
    key = {"Authorization": f"Bearer {settings.STRIPE_SECRET_KEY}"}
    with connection(settings.STRIPE_API_BASE, timeout=120, headers=key) as director:
        return director.request(method, path, json=body).raise_for_status().json()


def move_to(at: datetime) -> None:
    """Move business time, ours and Stripe's, and let what falls due happen."""
    clock.travel_to(at)
    time.sleep(REREAD_SECONDS)
    if sandbox_is_stripe():
        sandbox("POST", "/_sandbox/clock", {"now": int(at.timestamp())})


def leave(folder: Path) -> None:
    """Note where business time stands, and return to the machine's own."""
    (folder / _FILE).write_text(f"{clock.now().isoformat()}\n")
    clock.travel_back()


@contextmanager
def resumed(folder: Path, otherwise: datetime) -> Iterator[datetime]:
    """Within the block business time runs on from where `leave` left it, or from `otherwise` where it never did.

    The sandbox's clock ran on meanwhile. Where a billing day may have passed on it, what it billed can't be undone:
    business time follows it there.
    """
    noted = folder / _FILE
    at = datetime.fromisoformat(noted.read_text().strip()) if noted.exists() else otherwise
    if sandbox_is_stripe():
        theirs = datetime.fromtimestamp(sandbox("GET", "/_sandbox/clock")["now"], UTC)
        at = theirs if theirs - at > SHORTEST_MONTH else at
    move_to(at)
    try:
        yield at
    finally:
        leave(folder)
