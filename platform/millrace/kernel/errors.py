"""Coded failures. A room subclasses `Problem` in its errors.py; the API answers it as RFC 9457 problem+json."""


class Problem(Exception):
    """Something a caller can act on: a stable `code`, an HTTP `status`, a sentence, and the field at fault."""

    code = "problem"
    status = 400
    title = "The request cannot be carried out"

    def __init__(self, detail: str = "", *, field: str | None = None, **extra: object) -> None:
        super().__init__(detail or self.title)
        self.detail = detail or self.title
        self.field = field
        self.extra = extra


class Invalid(Problem):
    """The request is understood, and a value in it is not acceptable."""

    code, status, title = "invalid", 422, "A value is not acceptable"


class NotFound(Problem):
    """No such thing for this caller; things of other tenants answer the same."""

    code, status, title = "not_found", 404, "There is no such thing"


class Forbidden(Problem):
    """The caller is known and may not do this."""

    code, status, title = "forbidden", 403, "Not allowed"


class Unauthenticated(Problem):
    """The caller is not known."""

    code, status, title = "unauthenticated", 401, "Log in or send an API key"


class Conflict(Problem):
    """The thing is in a state in which this cannot be done."""

    code, status, title = "conflict", 409, "Not possible in the present state"


class PaymentRequired(Problem):
    """A plan, a card or a spend limit stands in the way."""

    code, status, title = "payment_required", 402, "Payment is required"


class TooManyRequests(Problem):
    """The rate limit is reached; `retry_after` seconds from now there is room again."""

    code, status, title = "rate_limited", 429, "Too many requests"
