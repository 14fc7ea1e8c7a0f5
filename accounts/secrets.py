"""Secrets: made by the operating system, shown once, kept as keyed hashes, compared in constant time."""

import hashlib
import hmac
import secrets as system

from django.conf import settings

_ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"


def new_token(length: int = 40) -> str:
    """A random text of lower-case letters and digits: about 5.17 bits a character."""
    return "".join(system.choice(_ALPHABET) for _ in range(length))


def keyed_hash(secret: str) -> str:
    """HMAC-SHA-256 with the installation's key: a copy of the database alone verifies nothing."""
    return hmac.new(settings.SECRET_KEY.encode(), secret.encode(), hashlib.sha256).hexdigest()


def matches(secret: str, stored_hash: str) -> bool:
    """Whether the secret is the one behind the hash, in constant time."""
    return hmac.compare_digest(keyed_hash(secret), stored_hash)
