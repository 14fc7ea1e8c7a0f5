"""JSON in: strict, bounded, and never a stack trace for what a stranger may send."""

from typing import IO, Any

import msgspec
from django.conf import settings
from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser

from millrace.kernel.errors import Problem


class TooLarge(Problem):
    """The body is larger than this door takes."""

    code, status, title = "too_large", 413, "The request is too large"


class StrictJSONParser(BaseParser):
    """JSON of at most DATA_UPLOAD_MAX_MEMORY_SIZE bytes; NaN, bad UTF-8 and endless nesting are refused."""

    media_type = "application/json"

    def parse(self, stream: IO[bytes], media_type: str | None = None, parser_context: dict | None = None) -> Any:
        """The decoded body; ParseError (400 `malformed`) or TooLarge (413) otherwise."""
        limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        raw = stream.read(limit + 1)
        if len(raw) > limit:
            raise TooLarge(f"A JSON body may have {limit:,} bytes at most.")
        try:
            decoded = msgspec.json.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ParseError(f"The body is not valid JSON: {error}") from error
        except RecursionError as error:
            raise ParseError("The body is nested too deeply.") from error
        if not isinstance(decoded, dict | list):
            raise ParseError("The body must be a JSON object.")
        if "\\u0000" in raw.decode("utf-8", "replace"):
            raise ParseError("The body holds the character U+0000, which cannot be stored.")
        return decoded
