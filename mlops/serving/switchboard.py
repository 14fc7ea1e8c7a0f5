"""Connects waiting requests of an event loop with their answers: one channel, one listener, many futures."""

import asyncio
import secrets
import weakref
from uuid import UUID

import redis.asyncio
from django.conf import settings

from millrace.kernel import valkey
from mlops.serving.messages import STREAM, STREAM_LENGTH, PredictReply, PredictRequest, reply_decoder, request_encoder

# Counts the caller's request in its rate window and queues it, in one round trip; over the limit nothing is queued.
_QUEUE = """
local used = redis.call('INCR', KEYS[1])
if used == 1 then redis.call('EXPIRE', KEYS[1], 120) end
if used > tonumber(ARGV[1]) then return used end
redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[2], '*', 'r', ARGV[3])
return used
"""


class Switchboard:
    """Belongs to one event loop."""

    def __init__(self) -> None:
        self.channel = f"millrace:replies:{secrets.token_hex(8)}"
        self._client: redis.asyncio.Redis = valkey.async_client()
        self._queue = self._client.register_script(_QUEUE)
        self._waiting: dict[UUID, asyncio.Future[PredictReply]] = {}
        self._listener: asyncio.Task[None] | None = None
        self._ready = asyncio.Event()

    async def queue(self, request: PredictRequest, *, rate_key: str) -> int:
        """Queue a request; returns how many the caller has made in this window. Over the limit it is not queued."""
        keys = [rate_key, STREAM]
        used = await self._queue(
            keys=keys, args=[settings.API_RATE_PER_MINUTE, STREAM_LENGTH, request_encoder.encode(request)]
        )
        return int(used)

    async def note_pending(self, key: str, tenant: str, seconds: int) -> None:
        """Remember that a prediction is on its way, for its sender to ask after."""
        await self._client.set(key, tenant, ex=seconds)

    async def expect(self, request_id: UUID) -> "asyncio.Future[PredictReply]":
        """The future of an answer; ask before queueing, and `forget` it in the end."""
        if self._listener is None or self._listener.done():
            self._ready.clear()
            self._listener = asyncio.create_task(self._listen())
        await self._ready.wait()
        future: asyncio.Future[PredictReply] = asyncio.get_running_loop().create_future()
        self._waiting[request_id] = future
        return future

    def forget(self, request_id: UUID) -> None:
        """Nobody waits any more."""
        self._waiting.pop(request_id, None)

    async def _listen(self) -> None:
        """Hand answers to whom they are for. When the connection breaks, who waits is told at once."""
        listening = valkey.async_client()
        pubsub = listening.pubsub(ignore_subscribe_messages=False)
        try:
            await pubsub.subscribe(self.channel)
            async for message in pubsub.listen():
                if message["type"] == "subscribe":
                    self._ready.set()
                elif message["type"] == "message":
                    for reply in reply_decoder.decode(message["data"]):
                        future = self._waiting.pop(reply.id, None)
                        if future is not None and not future.done():
                            future.set_result(reply)
        finally:
            self._ready.set()
            for future in self._waiting.values():
                if not future.done():
                    future.cancel()
            self._waiting.clear()
            await pubsub.aclose()
            await listening.aclose()

    async def close(self) -> None:
        """Stop listening and let the connections go."""
        if self._listener is not None:
            self._listener.cancel()
            await asyncio.gather(self._listener, return_exceptions=True)
        await self._client.aclose()


_boards: "weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Switchboard]" = weakref.WeakKeyDictionary()


def switchboard() -> Switchboard:
    """The running loop's."""
    loop = asyncio.get_running_loop()
    board = _boards.get(loop)
    if board is None:
        board = _boards[loop] = Switchboard()
    return board
