"""Rate limits: a budget of requests a minute for each caller, counted in Valkey, told in the RateLimit-* fields."""

import logging
import time
from ipaddress import ip_address
from typing import Any

import redis
from django.conf import settings
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from millrace.api.caller import Caller
from millrace.kernel import valkey
from millrace.kernel.errors import TooManyRequests

logger = logging.getLogger(__name__)
_WINDOW_SECONDS = 60


class CallerThrottle(BaseThrottle):
    """A fixed window of a minute. Refuses with 429, `Retry-After` and what is left of the window."""

    def allow_request(self, request: Request, view: Any) -> bool:
        """Counts the request; raises TooManyRequests over the limit."""
        caller: Any = request.auth
        if isinstance(caller, Caller):
            limit, name = settings.API_RATE_PER_MINUTE, caller.throttle_key
        else:
            limit, name = settings.ANONYMOUS_RATE_PER_MINUTE, f"ip:{client_address(request)}"
        now = time.time()
        window = int(now // _WINDOW_SECONDS)
        key = f"millrace:rate:{name}:{window}"
        used = _count(key)
        reset = max(1, round((window + 1) * _WINDOW_SECONDS - now))
        view.rate_limit = (limit, max(0, limit - used), reset)
        if used > limit:
            raise TooManyRequests(f"{limit} requests a minute are allowed.", retry_after=reset)
        return True


def is_flooding(request: Any, door: str) -> bool:
    """Whether the client's address has been at this door more often in this minute than strangers may ask the API; the
    request counts. For doors that answer all the same, and only leave out what costs."""
    window = int(time.time() // _WINDOW_SECONDS)
    used = _count(f"millrace:rate:{door}:{client_address(request)}:{window}")
    return used > settings.ANONYMOUS_RATE_PER_MINUTE


class StrangerThrottle(CallerThrottle):
    """For doors that count their callers in their own way: counts whom nobody knows, such as guessers of keys."""

    def allow_request(self, request: Request, view: Any) -> bool:
        """As above."""
        return isinstance(request.auth, Caller) or super().allow_request(request, view)


def _count(key: str) -> int:
    """Requests in the window so far, this one included. Without Valkey nobody is counted and everybody is served:
    a limiter that is down must not take the API down with it."""
    try:
        with valkey.client().pipeline(transaction=False) as pipe:
            pipe.incr(key)
            pipe.expire(key, _WINDOW_SECONDS * 2)
            return pipe.execute()[0]
    except redis.RedisError:
        logger.exception("requests are not being counted")
        return 0


def client_address(request: Any) -> str:
    """The client's address: the peer's, unless the peer is a proxy that we were told to trust (T9)."""
    peer = request.META.get("REMOTE_ADDR", "")
    if not _is_trusted(peer):
        return peer
    hops = [hop.strip() for hop in request.META.get("HTTP_X_FORWARDED_FOR", "").split(",") if hop.strip()]
    return next((hop for hop in reversed(hops) if not _is_trusted(hop)), peer)


def _is_trusted(text: str) -> bool:
    try:
        address = ip_address(text)
    except ValueError:
        return False
    # A socket for both families writes an IPv4 peer as ::ffff:10.0.0.1.
    address = getattr(address, "ipv4_mapped", None) or address
    return any(address in network for network in settings.TRUSTED_PROXIES)
