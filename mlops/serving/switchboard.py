"""Connects waiting requests of an event loop with their answers: one channel, one listener, many futures."""

import asyncio
import itertools
import logging
import secrets
import weakref
from typing import Any
from uuid import UUID

import redis.asyncio
from django.conf import settings

from millrace.kernel import valkey
from mlops.serving.messages import (
    MOST_OF_A_TENANT,
    MOST_WAITING,
    PENDING_SECONDS,
    STREAM,
    WAITING,
    PredictReply,
    PredictRequest,
    pending_key,
    reply_decoder,
    request_encoder,
    weight_of,
)

logger = logging.getLogger(__name__)

# Counts the caller's request in its rate window and queues it, in one round trip; over the limit nothing is queued, nor
# when too many wait (then the count is negative). A fourth key is the note of a request whose sender does not wait: while
# it says that the same one is on its way, that one is enough.
_QUEUE = """
local used = redis.call('INCR', KEYS[1])
if used == 1 then redis.call('EXPIRE', KEYS[1], 120) end
if used > tonumber(ARGV[1]) then return used end
local waiting = redis.call('XLEN', KEYS[2])
if waiting == 0 then redis.call('DEL', KEYS[3]) end
if waiting >= tonumber(ARGV[2]) then return -used end
if tonumber(redis.call('HGET', KEYS[3], ARGV[5]) or 0) >= tonumber(ARGV[3]) then return -used end
if KEYS[4] then
  if redis.call('GET', KEYS[4]) == ARGV[5] then return used end
  redis.call('SET', KEYS[4], ARGV[5], 'EX', ARGV[6])
end
redis.call('XADD', KEYS[2], '*', 'r', ARGV[4])
redis.call('HINCRBY', KEYS[3], ARGV[5], ARGV[7])
return used
"""


class Switchboard:
    """Belongs to one event loop."""

    def __init__(self) -> None:
        self.channel = f"millrace:replies:{secrets.token_hex(8)}"
        self._client: redis.asyncio.Redis = valkey.async_client()
        self._queue = self._client.register_script(_QUEUE)
        # Several requests with one identifier and the same inputs have one answer.
        self._waiting: dict[tuple[UUID, str], set[asyncio.Future[PredictReply]]] = {}
        self._listener: asyncio.Task[None] | None = None
        self._ready = asyncio.Event()

    async def queue(self, request: PredictRequest, *, rate_key: str) -> int:
        """Queue a request; returns how many the caller has made in this window. Over the limit it is not queued, nor
        where the number is negative: too many wait. One that nobody waits for is noted, for its sender to ask after."""
        keys = [rate_key, STREAM, WAITING]
        if not request.reply_to:
            keys.append(pending_key(request.id))
        limits: list[Any] = [settings.API_RATE_PER_MINUTE, MOST_WAITING, MOST_OF_A_TENANT]
        encoded = request_encoder.encode(request)
        sent = [encoded, str(request.tenant_id), PENDING_SECONDS, weight_of(encoded)]
        return int(await self._queue(keys=keys, args=limits + sent))

    async def expect(self, request: PredictRequest) -> "asyncio.Future[PredictReply]":
        """The future of an answer; ask before queueing, and `forget` it in the end."""
        if self._listener is None or self._listener.done():
            self._ready.clear()
            self._listener = asyncio.create_task(self._listen())
        await self._ready.wait()
        future: asyncio.Future[PredictReply] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault((request.id, request.request_hash), set()).add(future)
        return future

    def forget(self, request: PredictRequest, future: "asyncio.Future[PredictReply]") -> None:
        """Who asked does not wait any more."""
        key = (request.id, request.request_hash)
        waiting = self._waiting.get(key, set())
        waiting.discard(future)
        if not waiting:
            self._waiting.pop(key, None)

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
                        for future in self._waiting.pop((reply.id, reply.request_hash), ()):
                            if not future.done():
                                future.set_result(reply)
        except redis.RedisError as gone:
            logger.warning("Valkey is away: %s", gone)
        finally:
            self._ready.set()
            for future in itertools.chain.from_iterable(self._waiting.values()):
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
