"""The one exception of the sandbox: an answer in Stripe's error envelope."""

from typing import Any


class StripeError(Exception):
    """Refuses a request with an HTTP status and Stripe's `{"error": {…}}` body."""

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        kind: str = "invalid_request_error",
        code: str | None = None,
        param: str | None = None,
        **extra: Any,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.body: dict[str, Any] = {"type": kind, "message": message}
        if code:
            self.body["code"] = code
            self.body["doc_url"] = f"https://stripe.com/docs/error-codes/{code.replace('_', '-')}"
        if param:
            self.body["param"] = param
        self.body.update(extra)


def missing(noun: str, ident: str, param: str = "id") -> StripeError:
    """404 for an id that names nothing; Stripe answers 400 when the id came as a parameter of another resource."""
    return StripeError(f"No such {noun}: '{ident}'", status=404, code="resource_missing", param=param)


def required(param: str) -> StripeError:
    """400 for a parameter that the call cannot do without."""
    return StripeError(f"Missing required param: {param}.", code="parameter_missing", param=param)


def refused(message: str, code: str | None = None, param: str | None = None, **extra: Any) -> StripeError:
    """400 for a request that is well formed but not allowed in the present state."""
    return StripeError(message, code=code, param=param, **extra)


def card_error(message: str, code: str, decline_code: str | None = None, **extra: Any) -> StripeError:
    """402: the card said no."""
    if decline_code:
        extra["decline_code"] = decline_code
    return StripeError(message, status=402, kind="card_error", code=code, **extra)
