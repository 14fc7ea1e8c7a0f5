"""JSON in: strict, bounded, and never a stack trace for what a stranger may send."""

from collections.abc import Mapping
from typing import IO, Any

import msgspec
from django.conf import settings
from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser

from millrace.kernel.errors import Problem


class TooLarge(Problem):
    """The body is larger than this door takes."""

    code, status, title = "too_large", 413, "The request is too large"


_DEEPEST = 64
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


class StrictJSONParser(BaseParser):
    """JSON of at most DATA_UPLOAD_MAX_MEMORY_SIZE bytes; NaN, bad UTF-8 and endless nesting are refused."""

    media_type = "application/json"

    def parse(self, stream: IO[bytes], media_type: str | None = None, parser_context: Mapping | None = None) -> Any:
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
        if _may_be_deep(raw) or b"\\u0000" in raw:
            _inspect(decoded)
        return decoded


def _may_be_deep(raw: bytes) -> bool:
    """Whether nesting may exceed the limit: peels the innermost pairs off, a level a pass, at the speed of C.

    Brackets inside texts can only make it say yes too often, and then the decoded body is walked.
    """
    skeleton = raw.translate(None, _NOT_BRACKETS)
    for _ in range(_DEEPEST):
        if not skeleton:
            return False
        skeleton = skeleton.replace(b"[]", b"").replace(b"{}", b"")
    return bool(skeleton)


def _inspect(decoded: Any) -> None:
    """Refuse nesting beyond the limit and the character that PostgreSQL cannot store."""
    level = [decoded]
    for _ in range(_DEEPEST + 1):
        for value in level:
            if isinstance(value, str) and "\0" in value:
                raise ParseError("The body holds the character U+0000, which cannot be stored.")
        inner = [value for value in level if isinstance(value, dict | list)]
        if not inner:
            return
        level = []
        for value in inner:
            level += [*value.keys(), *value.values()] if isinstance(value, dict) else value
    raise ParseError(f"The body is nested deeper than {_DEEPEST} levels.")
