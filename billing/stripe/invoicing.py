"""From a draft to an invoice that is ours to the cent.

Draft of a new cycle → it waits (auto_advance off) → usage is rated → each line becomes an item on the draft → Stripe's
figures are compared with ours → equal: finalise; different: hold it and say why. Each step can be repeated after a
crash: rating happens once a draft, an item has an idempotency key and its line's id, finalising twice is refused by
Stripe.
"""

import logging
from datetime import datetime
from fractions import Fraction
from typing import Any

import stripe

from billing import pricing
from billing.models import Invoice, InvoiceLine, InvoiceStatus, LineKind, StripeEvent, Subscription
from billing.services.rating import has_fixed, has_unbilled, invoice_rate, invoice_unrate
from billing.stripe.catalogue import fee_of
from billing.stripe.client import client, once, plain
from billing.stripe.customers import tax_rates
from billing.stripe.handlers import Ignored
from billing.stripe.invoice_mirror import Fetched, invoice_sync, subscription_id_of
from billing.stripe.mirrors import uuid_in
from billing.stripe.reversals import credit_notes_post
from billing.stripe.subscriptions import subscription_sync
from millrace.kernel.money import step
from millrace.kernel.tenancy import platform_scope

logger = logging.getLogger(__name__)
_CYCLE = "subscription_cycle"


def on_invoice(event: StripeEvent) -> None:
    """An invoice was made or changed."""
    invoice_advance(event.object_id)


def on_invoice_deleted(event: StripeEvent) -> None:
    """A draft was thrown away: its usage waits for the next one."""
    invoice = Invoice.objects.filter(stripe_id=event.object_id).first()
    if invoice is None:
        raise Ignored("we never saw this draft")
    Invoice.objects.filter(pk=invoice.pk, status=InvoiceStatus.DRAFT).update(status=InvoiceStatus.DELETED)
    invoice_unrate(invoice_id=invoice.pk)


def draft_hold(payload: dict[str, Any]) -> None:
    """Called by the webhook before it answers: keep a new cycle's draft from finalising on its own. Another product's in
    the same account at Stripe is left alone: nobody here would ever finalise it."""
    found = payload["data"]["object"]
    awaits = payload["type"] == "invoice.created" and _awaits_usage(found) and found.get("auto_advance")
    if awaits and _is_ours(found):
        try:
            client().v1.invoices.update(found["id"], {"auto_advance": False})
        except stripe.InvalidRequestError:
            # Gone, or no longer a draft: nothing can be held any more, and its usage goes onto the next invoice.
            logger.warning("The draft %s cannot be held any more", found["id"])


def invoice_advance(stripe_id: str) -> Invoice:
    """Mirror the invoice and, while it is a draft that awaits usage, bring it to its end. Runs across tenants."""
    fetched = invoice_sync(stripe_id)
    if fetched.invoice.settled_at is not None:
        credit_notes_post(fetched.invoice)
    if not _awaits_usage(fetched.found) or fetched.invoice.subscription is None:
        return fetched.invoice
    _hold(fetched)
    lines = _rate(fetched.invoice, fetched.invoice.subscription)
    try:
        _push(fetched, lines)
    except stripe.InvalidRequestError as error:
        Invoice.objects.filter(pk=fetched.invoice.pk).update(hold_reason=f"Stripe refuses a line: {error}")
        raise
    fetched = invoice_sync(stripe_id)
    if fetched.invoice.status != InvoiceStatus.DRAFT:
        return fetched.invoice
    differences = compare(fetched)
    Invoice.objects.filter(pk=fetched.invoice.pk).update(hold_reason="\n".join(differences))
    if differences:
        logger.error("Invoice %s is held: %s", fetched.invoice.public_id, "; ".join(differences))
        return fetched.invoice
    _finalize(fetched.invoice)
    return invoice_sync(stripe_id).invoice


def _rate(invoice: Invoice, subscription: Subscription) -> list[InvoiceLine]:
    whole_end = None
    if invoice.rated_at is None:
        # What the period was sold at may be news that has not been handled yet.
        subscription = subscription_sync(subscription.stripe_id)
        _earlier_first(subscription, invoice.period_start)
        if subscription.ended_at and invoice.period_start >= subscription.current_period_start:
            whole_end = subscription.current_period_end
    return invoice_rate(invoice_id=invoice.pk, whole_end=whole_end)


def _hold(fetched: Fetched) -> None:
    """Have the draft wait for us, at the payer's present tax: the subscription has the one of the day it began."""
    params: dict[str, Any] = {"auto_advance": False} if fetched.found["auto_advance"] else {}
    rates = tax_rates(fetched.invoice.billing_account)
    if [rate["id"] for rate in fetched.found["default_tax_rates"] or []] != rates:
        params["default_tax_rates"] = rates or ""
    if params:
        client().v1.invoices.update(fetched.found["id"], params)  # type: ignore[arg-type]


def _earlier_first(subscription: Subscription, before: datetime) -> None:
    """See that the periods until `before` are rated, or known to have gone out unrated, whatever order the news of them
    comes in: which allowances and minimums an invoice owes depends on those before it."""
    known = subscription.invoices.filter(period_end=before, period_start__lt=before)
    known = known.exclude(status=InvoiceStatus.DELETED).exclude(status=InvoiceStatus.DRAFT, rated_at__isnull=True)
    if before <= subscription.started_at or known.exists():
        return
    params: dict[str, Any] = {"subscription": subscription.stripe_id, "limit": 100}
    at_stripe = [plain(found) for found in client().v1.invoices.list(params).auto_paging_iter()]  # type: ignore[arg-type]
    for found in sorted(at_stripe, key=lambda found: found["period_end"]):
        if found["period_end"] <= before.timestamp():
            invoice_advance(found["id"])


def final_invoice_ensure(subscription: Subscription) -> None:
    """The last invoice of a subscription that ended: its last period's usage, the last day included (M5). There is one:
    what is recorded still later waits for another subscription."""
    start = subscription.current_period_start
    if subscription.ended_at is None:
        return
    _earlier_first(subscription, start)
    if subscription.invoices.filter(period_end=subscription.ended_at, rated_at__isnull=False).exists():
        return
    in_trial = subscription.trial_end is not None and subscription.ended_at <= subscription.trial_end
    owes_fixed = start < subscription.ended_at and not in_trial and has_fixed(subscription)
    if not owes_fixed and not has_unbilled(subscription, subscription.ended_at):
        return
    metadata = {
        "tenant_id": str(subscription.tenant_id),
        "final_for": subscription.stripe_id,
        "period_start": str(int(start.timestamp())),
        "period_end": str(int(subscription.ended_at.timestamp())),
    }
    ended = plain(client().v1.subscriptions.retrieve(subscription.stripe_id))
    params: dict[str, Any] = {
        "customer": ended["customer"],
        "currency": subscription.price_version.currency.lower(),
        "auto_advance": False,
        "pending_invoice_items_behavior": "exclude",
        "collection_method": ended["collection_method"],
        "metadata": metadata,
    }
    if ended["collection_method"] == "send_invoice":
        params["days_until_due"] = ended["days_until_due"] or 30
    if ended["default_payment_method"]:
        params["default_payment_method"] = ended["default_payment_method"]
    if rates := tax_rates(subscription.billing_account):
        params["default_tax_rates"] = rates
    made = client().v1.invoices.create(params, once(f"final:{subscription.pk}"))  # type: ignore[arg-type]
    invoice_advance(made.id)


def _awaits_usage(found: dict[str, Any]) -> bool:
    is_last = bool((found.get("metadata") or {}).get("final_for"))
    return found["status"] == "draft" and (
        is_last or (found["billing_reason"] == _CYCLE and subscription_id_of(found) != "")
    )


def _is_ours(found: dict[str, Any]) -> bool:
    details = (found.get("parent") or {}).get("subscription_details") or {}
    if uuid_in(details.get("metadata"), "tenant_id") or uuid_in(found.get("metadata"), "tenant_id"):
        return True
    with platform_scope(reason="an invoice may be any tenant's"):
        return Subscription.objects.filter(stripe_id=subscription_id_of(found)).exists()


def _push(fetched: Fetched, lines: list[InvoiceLine]) -> None:
    """Put our lines on the draft, each once. A line of nothing stays with us: it has nothing to collect."""
    there = {uuid_in(entry["metadata"], "line_id") for entry in fetched.lines}
    for line in lines:
        if line.amount == 0 or line.pk in there:
            continue
        client().v1.invoice_items.create(
            {
                "customer": fetched.found["customer"],
                "invoice": fetched.found["id"],
                "amount": line.amount,
                "currency": line.currency.lower(),
                "description": line.description,
                "period": {"start": int(line.period_start.timestamp()), "end": int(line.period_end.timestamp())},
                # Coupons are for the fee: what usage costs is decided by our own rating alone.
                "discountable": False,
                "metadata": {"line_id": str(line.pk), "tenant_id": str(line.tenant_id), "stream": line.stream},
            },
            once(f"line:{line.pk}"),
        )


def compare(fetched: Fetched) -> list[str]:
    """How Stripe's draft differs from our own reckoning; nothing when it is right to the cent."""
    invoice, differences = fetched.invoice, []
    ours = {line.pk: line for line in invoice.lines.filter(kind__in=("usage", "flat", "true_up")) if line.amount}
    seen: set[Any] = set()
    for entry in fetched.lines:
        line_id = uuid_in(entry["metadata"], "line_id")
        if line_id is None:
            differences += _compare_fee(invoice, entry)
            continue
        line = ours.get(line_id)
        if line is None or line_id in seen:
            differences.append(f"{entry['id']} stands for the line {line_id}, which is not expected (again)")
        elif line.amount != entry["amount"]:
            differences.append(f"{entry['id']} is {entry['amount']} and should be {line.amount}")
        seen.add(line_id)
    differences += [f"the line {missing} is not on the draft" for missing in ours.keys() - seen]
    subtotal = sum(line.amount for line in invoice.lines.all())
    net = subtotal - sum(line.discount for line in invoice.lines.all())
    tax = pricing.half_up(Fraction(net) * Fraction(invoice.billing_account.tax_percent) / 100, step(invoice.currency))
    for name, expected, actual in (
        ("subtotal", subtotal, fetched.found["subtotal"]),
        ("tax", tax, invoice.tax),
        ("total", net + tax, fetched.found["total"]),
    ):
        if expected != actual:
            differences.append(f"the {name} is {actual} and should be {expected}")
    return differences


def _compare_fee(invoice: Invoice, entry: dict[str, Any]) -> list[str]:
    line = invoice.lines.filter(stripe_line_id=entry["id"]).first()
    subscription = invoice.subscription
    if line is None or line.kind != LineKind.SUBSCRIPTION or subscription is None:
        return []
    phase = subscription.phases.filter(starts_at__lte=line.period_start).order_by("-starts_at").first()
    price = phase.price_version if phase else subscription.price_version
    if subscription.next_price and subscription.next_price_at and subscription.next_price_at <= line.period_start:
        price = subscription.next_price
    fee = fee_of(price, invoice.billing_account.discount_percent)
    if entry["amount"] not in (fee, 0) or (entry["amount"] == 0 and not _in_trial(subscription, line) and fee):
        return [f"the fee is {entry['amount']} and should be {fee}"]
    return []


def _in_trial(subscription: Subscription, line: InvoiceLine) -> bool:
    return subscription.trial_end is not None and line.period_end <= subscription.trial_end


def _finalize(invoice: Invoice) -> None:
    try:
        # Without a key of ours: Stripe would answer a failure of a moment again for a day, and does it once anyway.
        client().v1.invoices.finalize_invoice(invoice.stripe_id, {"auto_advance": True})
    except stripe.InvalidRequestError as error:
        if error.code not in ("invoice_not_editable", "invoice_already_finalized"):
            raise
