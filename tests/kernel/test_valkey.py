"""Connections to Valkey notice that the other side is gone."""

import asyncio
import socket
from pathlib import Path

from millrace.kernel import valkey


def test_a_listener_that_hears_nothing_has_the_kernel_ask_after_the_other_side() -> None:
    async def ask() -> tuple[int, int]:
        client = valkey.async_client()
        connection = await client.connection_pool.get_connection()
        try:
            wire = connection._writer.get_extra_info("socket")
            alive = wire.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            first, between, times = (
                wire.getsockopt(socket.IPPROTO_TCP, option)
                for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
            )
            return alive, first + between * times
        finally:
            await client.connection_pool.release(connection)
            await client.aclose()

    asked, seconds = asyncio.run(ask())

    assert asked
    assert seconds < 30


def test_a_socket_of_this_machine_will_do(settings, tmp_path: Path) -> None:
    settings.VALKEY_URL = f"unix://{tmp_path}/valkey.sock"

    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "valkey.sock"))
        server.listen()
        pool = valkey.client.__wrapped__().connection_pool
        connection = pool.make_connection()
        connection._connect().close()
