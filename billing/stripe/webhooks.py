"""Stripe's door: verify, store, acknowledge. What an event means is found out afterwards."""

import logging

import msgspec
import stripe
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from billing.stripe.inbox import event_store
from billing.stripe.invoicing import draft_hold
from millrace.api import problems
from millrace.kernel import doorbell

logger = logging.getLogger(__name__)
_TOLERANCE_SECONDS = 300
_LARGEST_BYTES = 1024 * 1024


@csrf_exempt
@require_POST
def stripe_webhook(request: HttpRequest) -> HttpResponse:
    """`POST /webhooks/stripe`: 200 once the event is stored, 400 for a signature or body that is not Stripe's.

    A new cycle's draft is stopped from finalising before we answer: if Stripe cannot be told, the answer is 503, and
    Stripe itself holds the invoice back and tells us again, instead of collecting it without its usage (M16).
    """
    if not settings.STRIPE_WEBHOOK_SECRET:
        raise ImproperlyConfigured("STRIPE_WEBHOOK_SECRET is empty: anybody could sign with it.")
    body = request.body if int(request.headers.get("Content-Length") or 0) <= _LARGEST_BYTES else b""
    try:
        stripe.WebhookSignature.verify_header(
            body.decode(),
            request.headers.get("Stripe-Signature", ""),
            settings.STRIPE_WEBHOOK_SECRET,
            _TOLERANCE_SECONDS,
        )
        payload = _event(body)
    except (stripe.SignatureVerificationError, UnicodeDecodeError, ValueError) as error:
        return _problem(400, "signature_invalid", "This is not signed by Stripe", str(error)[:200])
    if event_store(payload) and settings.OUTBOX_DOORBELL:
        transaction.on_commit(_ring, robust=True)
    try:
        draft_hold(payload)
    except stripe.StripeError:
        logger.exception("The draft of %s could not be held; Stripe will tell us again", payload["id"])
        return _problem(503, "try_again", "Try again", "The invoice's draft could not be held. Send the event again.")
    return JsonResponse({"received": True})


def _problem(status: int, code: str, title: str, detail: str) -> HttpResponse:
    content = problems.body(status=status, code=code, title=title, detail=detail)
    return JsonResponse(content, status=status, content_type=problems.CONTENT_TYPE)


def _event(body: bytes) -> dict:
    payload = msgspec.json.decode(body)
    try:
        known = payload["object"] == "event" and payload["id"] and payload["type"]
        known = known and isinstance(payload["data"]["object"], dict) and isinstance(payload["created"], int)
    except (TypeError, KeyError):
        known = False
    if not known:
        raise ValueError("This is not an event.")
    return payload


def _ring() -> None:
    from billing.tasks import handle_stripe_events

    doorbell.ring(handle_stripe_events)
