"""JSON out: compact, with times in RFC 3339 UTC and exact decimals as strings."""

from collections.abc import Mapping
from typing import Any

import msgspec
from rest_framework.renderers import BaseRenderer

_encoder = msgspec.json.Encoder(decimal_format="string", enc_hook=str)


class JSONRenderer(BaseRenderer):
    """Every answer of the API, problems included."""

    media_type = "application/json"
    format = "json"
    charset = None

    def render(
        self, data: Any, accepted_media_type: str | None = None, renderer_context: Mapping | None = None
    ) -> bytes:
        """UTF-8 JSON; nothing at all for no data (204)."""
        return b"" if data is None else _encoder.encode(data)
