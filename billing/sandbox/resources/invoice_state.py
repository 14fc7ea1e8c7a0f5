"""The life of an invoice: draft, open, then paid, void or uncollectible; and what a failing payment leads to."""

from billing.sandbox.clock import action
from billing.sandbox.core import Sandbox
from billing.sandbox.errors import StripeError, refused
from billing.sandbox.render import includable, listing
from billing.sandbox.resources import customers, payments, subscription_state
from billing.sandbox.resources.discounts import running
from billing.sandbox.resources.invoice_totals import recalculate
from billing.sandbox.resources.payment_methods import default_method
from billing.sandbox.state import Obj

DRAFT_SECONDS = 3_600
# A payment that failed is tried again after 3, then 5, then 7 days.
RETRY_DAYS = (3, 5, 7)
# An `invoice.created` that no endpoint acknowledges holds the invoice back for as long as this.
HOLD_SECONDS = 72 * 3_600
MAX_LINES = 250


def draft(
    sandbox: Sandbox, customer: Obj, currency: str, reason: str, now: int, subscription: Obj | None = None
) -> Obj:
    """A draft invoice with nothing on it; stored by `recalculate_and_save`."""
    invoice = sandbox.new("invoice", created=now, customer=customer["id"], currency=currency, billing_reason=reason)
    invoice |= {"_lines": [], "_line_rates": {}, "_subscription": None, "period_start": now, "period_end": now}
    for name in ("address", "email", "name", "phone", "shipping", "tax_exempt"):
        invoice[f"customer_{name}"] = customer[name]
    invoice["test_clock"] = customer["test_clock"]
    invoice["auto_advance"] = True
    found = [customer["discount"]["id"]] if customer["discount"] else []
    if subscription is not None:
        invoice["_subscription"] = subscription["id"]
        details = {"subscription": subscription["id"], "metadata": dict(subscription["metadata"])}
        invoice["parent"] = {"type": "subscription_details", "quote_details": None, "subscription_details": details}
        invoice["collection_method"] = subscription["collection_method"]
        invoice["default_tax_rates"] = list(subscription["default_tax_rates"])
        invoice["description"] = subscription["description"]
        if subscription["collection_method"] == "send_invoice":
            invoice["due_date"] = now + (subscription["days_until_due"] or 0) * 86_400
        found = subscription["discounts"] or found
    invoice["discounts"] = running(sandbox, found, now)
    return invoice


def line_add(
    sandbox: Sandbox,
    invoice: Obj,
    *,
    amount: int,
    description: str,
    period: tuple[int, int],
    parent: Obj,
    price: Obj | None = None,
    unit_amount_decimal: str | None = None,
    quantity: int = 1,
    tax_rates: list[str] | None = None,
    discountable: bool = True,
    metadata: dict[str, str] | None = None,
    subscription: str | None = None,
) -> Obj:
    """Put a line on a draft. `amount`: minor units; `period`: first and last second it is for."""
    if len(invoice["_lines"]) >= MAX_LINES:
        raise refused(f"An invoice can have at most {MAX_LINES} items.", "invoice_too_many_line_items")
    line = sandbox.new("line_item", amount=amount, currency=invoice["currency"], description=description)
    line |= {"invoice": invoice["id"], "period": {"start": period[0], "end": period[1]}, "parent": parent}
    line |= {"quantity": quantity, "quantity_decimal": str(quantity), "discountable": discountable}
    line |= {"metadata": dict(metadata or {}), "subscription": subscription, "subtotal": amount}
    line["pricing"] = pricing_of(price, unit_amount_decimal or str(amount))
    invoice["_lines"].append(line)
    if tax_rates:
        invoice["_line_rates"][line["id"]] = list(tax_rates)
    return line


def pricing_of(price: Obj | None, unit_amount_decimal: str) -> Obj:
    """The `pricing` hash of lines and invoice items."""
    if price is None:
        return {"type": "price_details", "price_details": None, "unit_amount_decimal": unit_amount_decimal}
    details = {"price": price["id"], "product": price["product"]}
    return {
        "type": "price_details",
        "price_details": details,
        "unit_amount_decimal": price["unit_amount_decimal"],
    }


def save(sandbox: Sandbox, invoice: Obj) -> Obj:
    """Add up and store."""
    return sandbox.save(recalculate(sandbox, invoice))


def announce_draft(sandbox: Sandbox, invoice: Obj) -> None:
    """Tell the endpoints about a draft, and plan its finalisation."""
    now = invoice["created"]
    invoice["automatically_finalizes_at"] = now + DRAFT_SECONDS if invoice["auto_advance"] else None
    sandbox.save(invoice)
    event = sandbox.emit("invoice.created", invoice)
    invoice["_created_event"] = event["id"]
    sandbox.save(invoice)
    if invoice["auto_advance"]:
        sandbox.clock.schedule(invoice["test_clock"], now + DRAFT_SECONDS, "invoice.finalize", invoice["id"])


@action("invoice.finalize")
def _finalize_due(sandbox: Sandbox, entry: Obj) -> None:
    invoice = sandbox.store.get("invoice", entry["target"])
    if invoice is None or invoice["status"] != "draft" or not invoice["auto_advance"]:
        return
    held_until = invoice["created"] + HOLD_SECONDS
    if entry["at"] < held_until and sandbox.webhooks.event_is_pending(invoice.get("_created_event", "")):
        later = min(entry["at"] + DRAFT_SECONDS, held_until)
        invoice["automatically_finalizes_at"] = later
        sandbox.save(invoice)
        sandbox.clock.schedule(invoice["test_clock"], later, "invoice.finalize", invoice["id"])
        return
    finalize(sandbox, invoice, entry["at"])


def finalize(sandbox: Sandbox, invoice: Obj, now: int, *, collect: bool = True) -> Obj:
    """Freeze the amounts, give it a number, and collect it when it is to be collected automatically."""
    if invoice["status"] != "draft":
        raise refused(
            "This invoice is already finalized, you can't re-finalize a non-draft invoice.", "invoice_not_editable"
        )
    recalculate(sandbox, invoice)
    customer = sandbox.find("customer", invoice["customer"])
    customer["currency"] = customer["currency"] or invoice["currency"]
    invoice["number"] = f"{customer['invoice_prefix']}-{customer['next_invoice_sequence']:04d}"
    customer["next_invoice_sequence"] += 1
    sandbox.save(customer)
    _apply_balance(sandbox, invoice, customer)
    invoice |= {"status": "open", "effective_at": now, "automatically_finalizes_at": None}
    invoice["status_transitions"]["finalized_at"] = now
    invoice["hosted_invoice_url"] = f"{sandbox.base_url}/invoices/{invoice['id']}"
    recalculate(sandbox, invoice)
    if invoice["amount_due"] > 0:
        _prepare_payment(sandbox, invoice, now)
    sandbox.save(invoice)
    sandbox.emit("invoice.finalized", invoice)
    if invoice["amount_due"] == 0:
        mark_paid(sandbox, invoice, now)
    elif collect and invoice["auto_advance"] and invoice["collection_method"] == "charge_automatically":
        collect_payment(sandbox, invoice, now)
    return invoice


def _apply_balance(sandbox: Sandbox, invoice: Obj, customer: Obj) -> None:
    """The customer's balance pays first (credit) or is added (debt); a negative total becomes credit."""
    together = invoice["total"] + customer["balance"]
    change = min(0, together) - customer["balance"]
    if change:
        customers.change_balance(sandbox, customer, change, "applied_to_invoice", invoice=invoice["id"])
    invoice["amount_due"] = max(0, together)
    invoice["ending_balance"] = customer["balance"]


def _prepare_payment(sandbox: Sandbox, invoice: Obj, now: int) -> None:
    intent = payments.intent_new(sandbox, invoice["amount_due"], invoice["currency"], invoice["customer"], now)
    intent |= {"description": f"Payment for Invoice {invoice['number']}", "_invoice": invoice["id"]}
    sandbox.save(intent)
    payment = sandbox.new("invoice_payment", created=now, invoice=invoice["id"], currency=invoice["currency"])
    payment |= {"amount_requested": invoice["amount_due"], "_payment_intent": intent["id"]}
    payment["payment"] = {"type": "payment_intent", "payment_intent": intent["id"]}
    invoice["_payment"] = payment["id"]
    sandbox.save(payment)


def collect_payment(
    sandbox: Sandbox, invoice: Obj, now: int, method: Obj | None = None, *, off_session: bool = True
) -> StripeError | None:
    """One attempt to charge an open invoice; the error when it fails (already recorded), else None."""
    customer = sandbox.find("customer", invoice["customer"])
    subscription = sandbox.store.get("subscription", invoice["_subscription"] or "")
    if method is None:
        own = subscription["default_payment_method"] if subscription else None
        method = default_method(sandbox, customer, invoice["default_payment_method"], own)
    payment = sandbox.find("invoice_payment", invoice["_payment"])
    intent = sandbox.find("payment_intent", payment["_payment_intent"])
    if intent["amount"] != invoice["amount_remaining"]:
        intent["amount"] = payment["amount_requested"] = invoice["amount_remaining"]
    invoice["attempted"] = True
    invoice["attempt_count"] += 1
    if method is None:
        error: StripeError | None = refused(
            "This customer has no attached payment source or default payment method. Please consider adding a default "
            "payment method.",
            "resource_missing",
        )
    else:
        error = payments.confirm(sandbox, intent, method, now, off_session=off_session)
    if error is None and intent["status"] == "succeeded":
        payment |= {"status": "paid", "amount_paid": intent["amount"]}
        payment["status_transitions"]["paid_at"] = now
        sandbox.save(payment)
        mark_paid(sandbox, invoice, now)
        return None
    _payment_failed(sandbox, invoice, subscription, now)
    return error


def _payment_failed(sandbox: Sandbox, invoice: Obj, subscription: Obj | None, now: int) -> None:
    tries = invoice["attempt_count"]
    more = invoice["auto_advance"] and tries <= len(RETRY_DAYS) and invoice["billing_reason"] != "subscription_create"
    invoice["next_payment_attempt"] = now + RETRY_DAYS[tries - 1] * 86_400 if more else None
    sandbox.save(invoice)
    if more:
        when = invoice["next_payment_attempt"]
        sandbox.clock.schedule(invoice["test_clock"], when, "invoice.retry", invoice["id"])
    sandbox.emit("invoice.payment_failed", invoice)
    sandbox.emit("invoice.updated", invoice, {"attempt_count": tries - 1})
    if subscription is not None:
        final = invoice["auto_advance"] and not more
        subscription_state.payment_failed(sandbox, subscription, invoice, now, final=final)


@action("invoice.retry")
def _retry_due(sandbox: Sandbox, entry: Obj) -> None:
    invoice = sandbox.store.get("invoice", entry["target"])
    if invoice and invoice["status"] == "open" and invoice["next_payment_attempt"] == entry["at"]:
        collect_payment(sandbox, invoice, entry["at"])


def mark_paid(sandbox: Sandbox, invoice: Obj, now: int) -> None:
    """The invoice is settled; its subscription hears of it."""
    invoice |= {"status": "paid", "amount_paid": invoice["amount_due"] - invoice["pre_payment_credit_notes_amount"]}
    invoice |= {"amount_remaining": 0, "next_payment_attempt": None, "attempted": True, "auto_advance": False}
    invoice["status_transitions"]["paid_at"] = now
    sandbox.save(invoice)
    sandbox.emit("invoice.paid", invoice)
    sandbox.emit("invoice.payment_succeeded", invoice)
    sandbox.emit("invoice.updated", invoice, {"status": "open"})
    subscription = sandbox.store.get("subscription", invoice["_subscription"] or "")
    if subscription is not None:
        subscription_state.invoice_settled(sandbox, subscription, now)


def intent_settled(sandbox: Sandbox, intent: Obj, now: int) -> None:
    """A payment intent was paid by another door than the invoice's own (authentication page, confirm call)."""
    invoice = sandbox.store.get("invoice", intent.get("_invoice", ""))
    if invoice is None or invoice["status"] != "open" or intent["status"] != "succeeded":
        return
    payment = sandbox.find("invoice_payment", invoice["_payment"])
    payment |= {"status": "paid", "amount_paid": intent["amount"]}
    payment["status_transitions"]["paid_at"] = now
    sandbox.save(payment)
    mark_paid(sandbox, invoice, now)


def close(sandbox: Sandbox, invoice: Obj, status: str, now: int) -> Obj:
    """`void` or `uncollectible`: nothing more is collected."""
    invoice |= {"status": status, "next_payment_attempt": None, "auto_advance": False}
    transition = "voided_at" if status == "void" else "marked_uncollectible_at"
    invoice["status_transitions"][transition] = now
    if status == "void" and (payment := sandbox.store.get("invoice_payment", invoice.get("_payment", ""))):
        invoice["amount_remaining"] = 0
        payment["status"] = "canceled"
        payment["status_transitions"]["canceled_at"] = now
        sandbox.save(payment)
        intent = sandbox.find("payment_intent", payment["_payment_intent"])
        intent |= {"status": "canceled", "canceled_at": now, "cancellation_reason": "void_invoice", "next_action": None}
        sandbox.save(intent)
    sandbox.save(invoice)
    sandbox.emit("invoice.voided" if status == "void" else "invoice.marked_uncollectible", invoice)
    subscription = sandbox.store.get("subscription", invoice["_subscription"] or "")
    if subscription is not None:
        subscription_state.invoice_settled(sandbox, subscription, now)
    return invoice


@includable("invoice", "payments")
def _payments(sandbox: Sandbox, invoice: Obj) -> Obj:
    rows = sandbox.store.by("invoice_payment", "invoice", invoice["id"])
    return listing(rows, f"/v1/invoice_payments?invoice={invoice['id']}")


@includable("invoice", "confirmation_secret")
def _confirmation_secret(sandbox: Sandbox, invoice: Obj) -> Obj | None:
    rows = sandbox.store.by("invoice_payment", "invoice", invoice["id"])
    if not rows:
        return None
    intent = sandbox.find("payment_intent", rows[0]["_payment_intent"])
    return {"client_secret": intent["client_secret"], "type": "payment_intent"}
