"""What each type of event leads to. An event says only that something changed: the object is fetched again, so that
events may come twice, late or in any order, and the last word is Stripe's present state (M9, M10)."""

from collections.abc import Callable

import stripe

from billing.models import StripeEvent
from billing.stripe.client import is_missing


class Ignored(Exception):
    """The event concerns nothing of ours, or nothing that still exists. It is kept, and not tried again."""


Handler = Callable[[StripeEvent], None]


def handler_of(event_type: str) -> Handler | None:
    """The handler of a type; None for a type that says nothing that we mirror."""
    # Imported here: the modules below need `Ignored`, and the inbox needs only this function.
    from billing.stripe import invoicing, reversals, subscriptions

    handlers: dict[str, Handler] = {
        "checkout.session.completed": subscriptions.on_checkout_completed,
        "customer.subscription.created": subscriptions.on_subscription,
        "customer.subscription.updated": subscriptions.on_subscription,
        "customer.subscription.paused": subscriptions.on_subscription,
        "customer.subscription.resumed": subscriptions.on_subscription,
        "customer.subscription.deleted": subscriptions.on_subscription,
        "invoice.created": invoicing.on_invoice,
        "invoice.updated": invoicing.on_invoice,
        "invoice.finalized": invoicing.on_invoice,
        "invoice.paid": invoicing.on_invoice,
        "invoice.payment_failed": invoicing.on_invoice,
        "invoice.payment_action_required": invoicing.on_invoice,
        "invoice.voided": invoicing.on_invoice,
        "invoice.marked_uncollectible": invoicing.on_invoice,
        "invoice.deleted": invoicing.on_invoice_deleted,
        "refund.created": reversals.on_refund,
        "refund.updated": reversals.on_refund,
        "refund.failed": reversals.on_refund,
        "charge.refunded": reversals.on_charge_refunded,
        "credit_note.created": reversals.on_credit_note,
        "credit_note.updated": reversals.on_credit_note,
        "credit_note.voided": reversals.on_credit_note,
        "charge.dispute.created": reversals.on_dispute,
        "charge.dispute.updated": reversals.on_dispute,
        "charge.dispute.closed": reversals.on_dispute,
        "charge.dispute.funds_withdrawn": reversals.on_dispute,
        "charge.dispute.funds_reinstated": reversals.on_dispute,
    }
    found = handlers.get(event_type)
    return _unless_gone(found) if found else None


def _unless_gone(handler: Handler) -> Handler:
    def handle(event: StripeEvent) -> None:
        try:
            handler(event)
        except stripe.InvalidRequestError as error:
            if is_missing(error):
                raise Ignored(f"gone at Stripe: {error.user_message or error}") from error
            raise

    return handle
