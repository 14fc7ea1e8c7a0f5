"""Celery's doors onto billing."""

from celery import shared_task

from billing.stripe.inbox import stripe_events_process


@shared_task(name="billing.handle_stripe_events")
def handle_stripe_events() -> int:
    """Handle Stripe's events that are due; rung by the webhook and, in case a ring was lost, by beat."""
    return stripe_events_process()
