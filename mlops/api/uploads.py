"""Multipart in: streamed to disk, bounded, and told in problems."""

from collections.abc import Mapping
from typing import IO, Any

from django.conf import settings
from django.core.exceptions import SuspiciousOperation
from rest_framework.exceptions import ParseError
from rest_framework.parsers import MultiPartParser

from mlops.errors import UploadTooLarge

# What the boundaries, headers and other fields of a form may take beside the file.
_FORM_BYTES = 1024 * 1024


class UploadParser(MultiPartParser):
    """A form with one file; larger ones go to a temporary file as they arrive."""

    def parse(
        self, stream: IO[bytes], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        """The form; UploadTooLarge (413) or ParseError (400) otherwise."""
        declared = (parser_context or {})["request"].META.get("CONTENT_LENGTH") or "0"
        if not declared.isdigit() or int(declared) > settings.UPLOAD_MAX_BYTES + _FORM_BYTES:
            raise UploadTooLarge(f"An upload may have {settings.UPLOAD_MAX_BYTES:,} bytes at most.", field="file")
        try:
            return super().parse(stream, media_type, parser_context)
        except SuspiciousOperation as refused:  # too many fields or files, or fields that are too large
            raise ParseError(f"The form is not acceptable: {refused}") from refused
