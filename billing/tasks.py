"""Celery's doors onto billing."""

from billing.stripe.inbox import stripe_events_process
from millrace.kernel import doorbell


@doorbell.answers("billing.handle_stripe_events")
def handle_stripe_events() -> int:
    """Handle Stripe's events that are due; rung by the webhook and, in case a ring was lost, by beat."""
    return stripe_events_process()
