"""HTTP connections of the story: a browser that nobody has used yet, a program's, the director's own."""

import ssl
from functools import cache
from typing import Any

import httpx


def connection(base_url: str = "", *, timeout: float = 60, **more: Any) -> httpx.Client:
    """A new one, without cookies. `base_url` and further arguments as httpx.Client takes them."""
    return httpx.Client(base_url=base_url, timeout=timeout, verify=_certificates(), **more)


@cache
def _certificates() -> ssl.SSLContext:
    """Read once: each client would read the machine's certificates anew, which for a thousand browsers took longer
    than all that they do."""
    return ssl.create_default_context()
