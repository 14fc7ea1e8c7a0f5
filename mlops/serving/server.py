"""The serving process: takes requests from the stream, computes them in micro-batches, stores and answers them.

Two threads: this one reads and computes, a writer stores and answers, so that the device works while the database
does. A request is acknowledged after its answer was stored; what a dead process had taken is taken over by another,
which answers from the store what was stored, and computes the rest (torch, through the engine it is given).
"""

import contextlib
import logging
import queue
import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast
from uuid import UUID

import msgspec
import numpy as np
import redis
from django.db import Error as DatabaseError
from django.db import InterfaceError, OperationalError, connection

from millrace.kernel import clock, valkey
from mlops.models import DeviceSession
from mlops.recipes import DataShape
from mlops.services.devices import session_seen
from mlops.serving.batcher import MicroBatch, MicroBatcher
from mlops.serving.inputs import describe_outputs
from mlops.serving.messages import (
    GROUP,
    MOST_OF_A_TENANT,
    STREAM,
    WAITING,
    PredictReply,
    PredictRequest,
    pending_key,
    reply_encoder,
    request_decoder,
    weight_of,
)
from mlops.serving.recorder import ServedBatch, batches_record, stored_replies

logger = logging.getLogger(__name__)
_READ_AT_ONCE = 256
_IDLE_BLOCK_MS = 500
# An entry that its taker has not acknowledged for this long is another's.
_TAKE_OVER_MS = 20_000
_TAKE_OVER_EVERY_SECONDS = 5.0
# What waits here this long is claimed anew, so that no other process takes it for left.
_RENEW_MS = 8_000
# More bytes are left in the stream, for another process or for later: room for four tenants that may have no more there.
_MOST_HELD = 4 * MOST_OF_A_TENANT
_SEEN_EVERY_SECONDS = 5.0
_WRITES_AHEAD = 4
_DATABASE_GONE = (OperationalError, InterfaceError)
# One entry of the stream: its id and its fields.
Sent = tuple[bytes, dict[bytes, bytes]]


@dataclass(frozen=True)
class Entry:
    """A request with its place in the stream."""

    stream_id: bytes
    request: PredictRequest
    weight: int


@dataclass(frozen=True)
class Done:
    """What the writer is to store and answer: a computed batch, or replies that need no storing."""

    entries: tuple[Entry, ...]
    batch: ServedBatch | None
    replies: tuple[PredictReply, ...] = ()


class DeviceLost(Exception):
    """The device computes nothing for this process any more: it ends, and a new one begins with a sound device."""


class Predictor(Protocol):
    """What computes; mlops.serving.engine's Engine behind a loader."""

    def shape(self, request: PredictRequest) -> DataShape:
        """The shape of the model that the request names, loaded if need be."""

    def probabilities(self, request: PredictRequest, inputs: np.ndarray) -> np.ndarray:
        """(n, classes) of inputs (n, *shape). Raises DeviceLost, and others for what is the model's fault."""


class Server:
    """One device's serving process."""

    def __init__(
        self,
        *,
        predictor: Predictor,
        session: DeviceSession,
        meter: str,
        consumer: str,
        stop: threading.Event,
        max_batch: int = 64,
        max_wait_ms: float = 2.0,
    ) -> None:
        self._predictor = predictor
        self._session = session
        self._meter = meter
        self._consumer = consumer
        self._stop = stop
        self._valkey: redis.Redis = valkey.client()
        self._batcher: MicroBatcher[Entry] = MicroBatcher(max_batch=max_batch, max_wait_ms=max_wait_ms)
        self._done: queue.Queue[Done | None] = queue.Queue(maxsize=_WRITES_AHEAD)
        # Entries taken and not yet acknowledged, with their weights.
        self._held: dict[bytes, int] = {}
        self._took_over = self._seen = 0.0
        self.served = 0

    def run(self) -> None:
        """Until told to stop; then what was taken is finished."""
        self._make_group()
        writer = threading.Thread(target=self._write, name="writer")
        writer.start()
        try:
            while not self._stop.is_set() or len(self._batcher):
                try:
                    self._turn()
                except redis.RedisError as gone:
                    logger.warning("Valkey is away: %s", gone)
                    time.sleep(0.5)
                    self._remake_group()
        finally:
            self._done.put(None)
            writer.join()

    # -- taking -------------------------------------------------------------------------------------------------------

    def _turn(self) -> None:
        """Take what came, compute what is due."""
        now = time.monotonic()
        if now - self._seen >= _SEEN_EVERY_SECONDS:
            self._seen = now
            self._tell_seen()
        if now - self._took_over >= _TAKE_OVER_EVERY_SECONDS and not self._stop.is_set():
            self._took_over = now
            self._renew()
            self._take_over()
        if not self._stop.is_set() and sum(self._held.values()) < _MOST_HELD:
            self._take()
        batch = self._batcher.take(time.clock_gettime_ns(time.CLOCK_BOOTTIME))
        if batch is not None:
            self._compute(batch)

    def _take(self) -> None:
        wait_ns = self._batcher.wait_ns(time.clock_gettime_ns(time.CLOCK_BOOTTIME))
        # BLOCK 0 would wait for ever; None does not wait at all.
        block = _IDLE_BLOCK_MS if wait_ns is None else (int(wait_ns / 1_000_000) or None)
        answer = self._valkey.xreadgroup(GROUP, self._consumer, {STREAM: ">"}, count=_READ_AT_ONCE, block=block)
        # Of the shapes that the client library declares, this protocol and these arguments give one.
        for _, entries in cast(list[tuple[bytes, list[Sent]]], answer or []):
            self._add(entries)

    def _renew(self) -> None:
        # The client library declares its list as one of all that an identifier may be.
        held: list[int | bytes | str | memoryview] = [*self._held]
        if held:
            self._valkey.xclaim(STREAM, GROUP, self._consumer, _RENEW_MS, held, justid=True)

    def _take_over(self) -> None:
        """What another process took and did not finish: answered from the store, or computed anew."""
        answer = self._valkey.xautoclaim(STREAM, GROUP, self._consumer, _TAKE_OVER_MS, count=_READ_AT_ONCE)
        entries = self._decoded(sent for sent in answer[1] if sent[1] and sent[0] not in self._held)
        if not entries:
            return
        logger.warning("taking over %d requests that another process left", len(entries))
        try:
            stored = stored_replies([entry.request.id for entry in entries])
        except DatabaseError as gone:
            logger.warning("the database is away: %s", gone)
            connection.close()
            return  # they come again
        for entry in entries:
            if entry.request.id in stored:
                self._done.put(Done((entry,), None, (stored[entry.request.id],)))
            else:
                self._queue(entry)

    def _add(self, entries: Iterable[Sent]) -> None:
        for entry in self._decoded(entries):
            self._queue(entry)

    def _decoded(self, sent: Iterable[Sent]) -> list[Entry]:
        entries = []
        for stream_id, fields in sent:
            try:
                encoded = fields[b"r"]
                entries.append(Entry(stream_id, request_decoder.decode(encoded), weight_of(encoded)))
            except (msgspec.DecodeError, KeyError) as wrong:
                # Of another version's web: nobody here can carry it out, and it must not stop the others.
                logger.error("dropping the request %s, which cannot be read: %s", stream_id, wrong)
                self._valkey.xack(STREAM, GROUP, stream_id)
                self._valkey.xdel(STREAM, stream_id)
        return entries

    def _queue(self, entry: Entry) -> None:
        request = entry.request
        self._held[entry.stream_id] = entry.weight
        if request.is_given_up():
            self._done.put(Done((entry,), None))
            return
        self._batcher.add(
            request.version_id, entry, size=request.items, now_ns=time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        )

    # -- computing ----------------------------------------------------------------------------------------------------

    def _compute(self, batch: MicroBatch[Entry]) -> None:
        given_up = [entry.request.is_given_up() for entry in batch.items]
        entries = tuple(entry for entry, late in zip(batch.items, given_up, strict=True) if not late)
        if any(given_up):
            self._done.put(Done(tuple(entry for entry, late in zip(batch.items, given_up, strict=True) if late), None))
        if not entries:
            return
        requests = tuple(entry.request for entry in entries)
        start_ms = clock.boot_ms()
        try:
            shape = self._predictor.shape(requests[0])
            dtype = np.uint8 if shape.layout == "images" else np.dtype("<f4")
            inputs = np.frombuffer(bytearray().join(request.inputs for request in requests), dtype)
            chances = self._predictor.probabilities(requests[0], inputs.reshape(-1, *shape.input_shape))
            outputs = describe_outputs(chances, shape.class_names)
        except Exception as failure:  # whatever a model does, the next one is served
            logger.exception("version %s cannot be computed", requests[0].version_id)
            detail = f"The model cannot be computed here: {type(failure).__name__}."
            self._done.put(Done(entries, None, _failures(requests, "model_failed", detail)))
            if isinstance(failure, DeviceLost):
                raise
            return
        split, at = [], 0
        for request in requests:
            split.append(outputs[at : at + request.items])
            at += request.items
        self.served += len(requests)
        self._done.put(Done(entries, ServedBatch(requests, tuple(split), start_ms, clock.boot_ms())))

    # -- storing and answering ----------------------------------------------------------------------------------------

    def _write(self) -> None:
        """The writer: takes what is there, stores it, answers, acknowledges."""
        while True:
            first = self._done.get()
            waiting = [first]
            with contextlib.suppress(queue.Empty):
                while len(waiting) < _WRITES_AHEAD:
                    waiting.append(self._done.get_nowait())
            work = [done for done in waiting if done is not None]
            if work:
                self._store_and_answer(work)
            if None in waiting:
                connection.close()
                return

    def _store_and_answer(self, work: Sequence[Done]) -> None:
        computed = [done.batch for done in work if done.batch is not None]
        replies = [reply for done in work for reply in done.replies]
        entries = [entry for done in work for entry in done.entries]
        try:
            replies += self._stored(computed)
        except _DATABASE_GONE as gone:
            # Not acknowledged: it is taken over, and computed again, when the database is back.
            logger.warning("could not store %d batches: %s", len(computed), gone)
            connection.close()
            self._let_go(entries)
            entries = [entry for done in work if done.batch is None for entry in done.entries]
        try:
            self._answer(entries, {(reply.id, reply.request_hash): reply for reply in replies})
        except redis.RedisError as gone:
            logger.warning("could not answer: %s", gone)
        self._let_go(entries)

    def _let_go(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            self._held.pop(entry.stream_id, None)

    def _stored(self, batches: Sequence[ServedBatch]) -> list[PredictReply]:
        """Answers to what is stored now, in one transaction; one by one where something in it cannot be stored at all."""
        if not batches:
            return []
        try:
            return batches_record(session=self._session, meter=self._meter, batches=batches)
        except _DATABASE_GONE:
            raise
        except Exception:  # the next batch is served, whatever is wrong with this one
            if len(batches) > 1:
                return [reply for batch in batches for reply in self._stored([batch])]
            logger.exception("a batch of version %s cannot be stored", batches[0].requests[0].version_id)
            return list(_failures(batches[0].requests, "not_stored", "The answer could not be stored."))

    def _answer(self, entries: Sequence[Entry], replies: dict[tuple[UUID, str], PredictReply]) -> None:
        if not entries:
            return
        letters: dict[str, list[PredictReply]] = defaultdict(list)
        with self._valkey.pipeline(transaction=False) as pipe:
            for entry in entries:
                reply = replies.get((entry.request.id, entry.request.request_hash))
                if reply is not None and entry.request.reply_to:
                    letters[entry.request.reply_to].append(reply)
                elif reply is not None:
                    self._note(pipe, entry.request, reply)
            for channel, letter in letters.items():
                pipe.publish(channel, reply_encoder.encode(letter))
            ids = [entry.stream_id for entry in entries]
            pipe.xack(STREAM, GROUP, *ids)
            pipe.xdel(STREAM, *ids)
            for entry in entries:
                pipe.hincrby(WAITING, str(entry.request.tenant_id), -entry.weight)
            pipe.execute()

    def _note(self, pipe: Any, request: PredictRequest, reply: PredictReply) -> None:
        """Nobody waits: a failure is noted where its sender will ask, success stands in the database."""
        if reply.code:
            pipe.set(pending_key(request.id), f"{request.tenant_id} {reply.detail}", ex=3600)
        else:
            pipe.delete(pending_key(request.id))

    # -- around it ----------------------------------------------------------------------------------------------------

    def _tell_seen(self) -> None:
        try:
            session_seen(self._session.pk, until_ms=clock.boot_ms())
        except DatabaseError as gone:
            logger.warning("the database is away: %s", gone)
            connection.close()

    def _make_group(self) -> None:
        try:
            self._valkey.xgroup_create(STREAM, GROUP, id="0", mkstream=True)
        except redis.ResponseError as known:
            if "BUSYGROUP" not in str(known):
                raise

    def _remake_group(self) -> None:
        """A Valkey that lost its memory lost the group, too."""
        with contextlib.suppress(redis.RedisError):
            self._make_group()


def _failures(requests: Sequence[PredictRequest], code: str, detail: str) -> tuple[PredictReply, ...]:
    return tuple(PredictReply(request.id, request.request_hash, [], 0, code, detail) for request in requests)
