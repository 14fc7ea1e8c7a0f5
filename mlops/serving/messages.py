"""What the web and the serving processes say to each other over Valkey. No torch."""

import time
from uuid import UUID

import msgspec

STREAM = "millrace:predict"
GROUP = "serve"
# So many requests wait at most, and so many bytes of one tenant's, 2,000 small ones; further ones are refused, for what was
# accepted is carried out. The bytes of each tenant stand in a hash, which begins anew whenever nothing waits.
MOST_WAITING = 20_000
MOST_OF_A_TENANT = 64 * 1024 * 1024
_LIGHTEST = 32 * 1024
WAITING = "millrace:predict:waiting"
# A request whose computing has not begun after this long is given up, and its sender waits for the answer this much more:
# who is told that nothing was done is not billed.
ANSWER_SECONDS = 15.0
TRAVEL_SECONDS = 2.0
PENDING_SECONDS = 24 * 3600


class PredictRequest(msgspec.Struct, frozen=True, array_like=True):
    """One request, its inputs checked and packed. `reply_to` is a channel, empty where nobody waits; `give_up_at` is
    the Unix time after which nobody does."""

    id: UUID
    tenant_id: UUID
    model_id: UUID
    version_id: UUID
    weights_key: str
    items: int
    inputs: bytes
    request_hash: str
    reply_to: str
    give_up_at: float

    def is_given_up(self) -> bool:
        """Nobody waits for it any more: its sender is being told that nothing was done."""
        return time.time() > self.give_up_at


class PredictReply(msgspec.Struct, frozen=True, array_like=True):
    """The answer: outputs, or the code and sentence of a failure. The hash tells apart what has one identifier."""

    id: UUID
    request_hash: str
    outputs: list[dict]
    device_ms: int
    code: str = ""
    detail: str = ""


request_encoder = msgspec.msgpack.Encoder(uuid_format="bytes")
request_decoder = msgspec.msgpack.Decoder(PredictRequest)
reply_encoder = msgspec.msgpack.Encoder(uuid_format="bytes")
reply_decoder = msgspec.msgpack.Decoder(list[PredictReply])


def weight_of(encoded: bytes) -> int:
    """What a request counts for while it waits, in bytes."""
    return max(_LIGHTEST, len(encoded))


def pending_key(prediction_id: UUID) -> str:
    """Where a prediction that nobody waits for is noted until it is stored: the tenant, or `!code detail`."""
    return f"millrace:prediction:{prediction_id}"
