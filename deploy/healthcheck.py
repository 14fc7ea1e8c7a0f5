"""Asks the web on this machine whether it serves; exits 0 or 1. For the container's HEALTHCHECK."""

import os
import sys
from urllib.error import URLError
from urllib.request import Request, urlopen

# The app answers only for its own host names, and over https: both are said as the reverse proxy would say them.
host = os.environ.get("ALLOWED_HOSTS", "127.0.0.1").split(",")[0].strip().lstrip(".")
request = Request("http://127.0.0.1:8000/readyz", headers={"Host": host, "X-Forwarded-Proto": "https"})
try:
    with urlopen(request, timeout=3) as answer:  # noqa: S310 - a fixed loopback address
        sys.exit(0 if answer.status == 200 else 1)
except URLError as error:
    sys.stderr.write(f"{error}\n")
    sys.exit(1)
