"""Many keep-alive clients in one small process: `python -m mlops.benchmarks.client` prints what it measured as JSON.

Written on bare sockets so that the client costs the measured servers as little of the machine as it can. No Django.
"""

import argparse
import asyncio
import json
import statistics
import sys
import time


async def _one(host: str, port: int, request: bytes, until: float, latencies: list[float]) -> None:
    """Send the request again and again over one connection until the time is up."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        while time.monotonic() < until:
            started = time.monotonic()
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            if b" 200 " not in head[:16] and b" 201 " not in head[:16]:
                raise RuntimeError(f"the server answered {head[:200]!r}")
            await reader.readexactly(_length(head))
            latencies.append(time.monotonic() - started)
    finally:
        writer.close()


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        if line[:15].lower() == b"content-length:":
            return int(line[15:])
    raise RuntimeError("the answer has no Content-Length")


async def measure(*, host: str, port: int, request: bytes, clients: int, seconds: float) -> dict[str, float]:
    """Requests a second, and milliseconds at the 50th and 95th percentile."""
    latencies: list[float] = []
    started = time.monotonic()
    await asyncio.gather(*(_one(host, port, request, started + seconds, latencies) for _ in range(clients)))
    took = time.monotonic() - started
    cuts = statistics.quantiles(latencies, n=100)
    return {"per_second": len(latencies) / took, "p50_ms": cuts[49] * 1000, "p95_ms": cuts[94] * 1000}


def request_bytes(path: str, body: bytes, headers: dict[str, str]) -> bytes:
    """An HTTP/1.1 POST."""
    lines = [
        f"POST {path} HTTP/1.1",
        "Host: 127.0.0.1",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
    ]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def main() -> None:
    """The request comes on standard input."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=5.0)
    options = parser.parse_args()
    found = measure(
        host="127.0.0.1", port=options.port, request=sys.stdin.buffer.read(), clients=options.clients,
        seconds=options.seconds,
    )  # fmt: skip
    sys.stdout.write(json.dumps(asyncio.run(found)) + "\n")


if __name__ == "__main__":
    main()
