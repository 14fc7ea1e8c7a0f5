"""Readers for environment variables that refuse nonsense loudly, at start-up rather than at first use."""

import os
from ipaddress import IPv4Network, IPv6Network, ip_network
from urllib.parse import unquote, urlparse

from django.core.exceptions import ImproperlyConfigured

_MISSING = object()
_EXAMPLE = "change-me"  # stands in every secret of deploy/env.example


def text(name: str, default: object = _MISSING) -> str:
    """The variable's value; without a default, an unset or empty variable is refused."""
    value = os.environ.get(name, "")
    if value:
        return value
    if default is _MISSING:
        raise ImproperlyConfigured(f"Set the environment variable {name}; deploy/env.example explains it.")
    return str(default)


def secret(name: str) -> str:
    """A secret, or an address with one in it: whoever knows deploy/env.example must not know this one."""
    value = text(name)
    if _EXAMPLE in value:
        raise ImproperlyConfigured(f"{name} is still the example of deploy/env.example: put a value of your own there.")
    return value


def flag(name: str, default: bool = False) -> bool:
    """A switch: 1/0, true/false, yes/no, on/off."""
    value = os.environ.get(name, "").strip().lower()
    if value in {"1", "true", "yes", "on"}:
        return True
    if value in {"0", "false", "no", "off"}:
        return False
    if value:
        raise ImproperlyConfigured(f"{name}={value!r} is not a switch: use 1 or 0.")
    return default


def integer(name: str, default: int, minimum: int = 0) -> int:
    """A whole number of at least `minimum`."""
    value = os.environ.get(name, "").strip()
    if not value:
        return default
    try:
        number = int(value)
    except ValueError as error:
        raise ImproperlyConfigured(f"{name}={value!r} is not a whole number.") from error
    if number < minimum:
        raise ImproperlyConfigured(f"{name}={number} is below {minimum}.")
    return number


def items(name: str, default: tuple[str, ...] = ()) -> list[str]:
    """A comma-separated list; empty parts are dropped."""
    return [part.strip() for part in os.environ.get(name, ",".join(default)).split(",") if part.strip()]


def networks(name: str) -> list[IPv4Network | IPv6Network]:
    """A comma-separated list of addresses and networks, as in `10.0.0.7, 10.1.0.0/16`."""
    try:
        return [ip_network(part) for part in items(name)]
    except ValueError as error:
        raise ImproperlyConfigured(f"{name}: {error}; write addresses, or networks such as 10.1.0.0/16.") from error


def database(url: str) -> dict:
    """Django's DATABASES entry for a `postgres://user:password@host:port/name` address (a socket folder as ?host=…)."""
    parts = urlparse(url)
    if parts.scheme not in {"postgres", "postgresql"}:
        raise ImproperlyConfigured(f"The database address must begin with postgresql://, not {parts.scheme!r}.")
    options = dict(pair.split("=", 1) for pair in parts.query.split("&") if "=" in pair)
    host = unquote(options.pop("host", parts.hostname or ""))
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(parts.path.lstrip("/")),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": host,
        "PORT": str(parts.port or ""),
        "ATOMIC_REQUESTS": False,  # a request-wide transaction holds idle connections and commits refused work (T6)
        "CONN_MAX_AGE": 0,
        "DISABLE_SERVER_SIDE_CURSORS": True,  # the tenant prefix and transaction-mode poolers both rule them out
        "OPTIONS": {"application_name": "millrace", **{key: unquote(value) for key, value in options.items()}},
        "TEST": {"NAME": None},
    }
