"""For doors that answer something else than JSON: the answer's type is the door's, whatever Accept says."""

from typing import Any

from rest_framework.negotiation import BaseContentNegotiation


class AsItComes(BaseContentNegotiation):
    """Takes the first renderer, which only problems use; an EventSource asks for text/event-stream alone."""

    def select_parser(self, request: Any, parsers: Any) -> Any:
        """The first that fits."""
        return parsers[0]

    def select_renderer(self, request: Any, renderers: Any, format_suffix: str | None = None) -> Any:
        """The first."""
        return renderers[0], renderers[0].media_type
