"""What an invoice adds up to: lines, minus discounts, plus tax. One rounding per discount and per tax rate."""

from decimal import Decimal

from billing.sandbox.core import Sandbox
from billing.sandbox.periods import allocate, round_half_up, step_of
from billing.sandbox.resources.discounts import coupon_of
from billing.sandbox.state import Obj

LINES_SHOWN = 10


def recalculate(sandbox: Sandbox, invoice: Obj) -> Obj:
    """Set every amount of an invoice from its `_lines`; the answer embeds the first ten of them, as Stripe's does."""
    lines = invoice["_lines"]
    for line in lines:
        line |= {"discount_amounts": [], "taxes": [], "subtotal": line["amount"]}
    invoice["subtotal"] = sum(line["amount"] for line in lines)
    invoice["total_discount_amounts"] = [
        {"amount": _discount(sandbox, lines, ident, step_of(invoice["currency"])), "discount": ident}
        for ident in invoice["discounts"]
    ]
    off = sum(entry["amount"] for entry in invoice["total_discount_amounts"])
    invoice["total_taxes"] = _taxes(sandbox, invoice, lines)
    tax = sum(entry["amount"] for entry in invoice["total_taxes"])
    invoice["subtotal_excluding_tax"] = invoice["subtotal"]
    invoice["total_excluding_tax"] = invoice["subtotal"] - off
    invoice["total"] = invoice["total_excluding_tax"] + tax
    balance = invoice["starting_balance"]
    if invoice["status"] == "draft":
        customer = sandbox.store.get("customer", invoice["customer"])
        balance = invoice["starting_balance"] = customer["balance"] if customer else 0
        invoice["amount_due"] = max(0, invoice["total"] + balance)
    invoice["amount_remaining"] = max(
        0, invoice["amount_due"] - invoice["amount_paid"] - invoice["pre_payment_credit_notes_amount"]
    )
    show_lines(invoice)
    return invoice


def show_lines(invoice: Obj) -> None:
    invoice["lines"] = {
        "object": "list",
        "data": invoice["_lines"][:LINES_SHOWN],
        "has_more": len(invoice["_lines"]) > LINES_SHOWN,
        "total_count": len(invoice["_lines"]),
        "url": f"/v1/invoices/{invoice['id']}/lines",
    }


def _left(line: Obj) -> int:
    return line["amount"] - sum(entry["amount"] for entry in line["discount_amounts"])


def _discount(sandbox: Sandbox, lines: list[Obj], discount_id: str, step: int) -> int:
    """Spread one discount over the lines it may touch; returns its whole amount, at most what is there."""
    coupon = coupon_of(sandbox, discount_id)
    touched = [line for line in lines if line["discountable"] and _left(line) > 0]
    base = sum(_left(line) for line in touched)
    if coupon is None or base <= 0:
        return 0
    if coupon["percent_off"] is not None:
        amount = round_half_up(Decimal(base) * Decimal(str(coupon["percent_off"])) / 100, step)
    else:
        amount = min(base, coupon["amount_off"])
    for line, share in zip(touched, allocate(amount, [_left(line) for line in touched]), strict=True):
        line["discount_amounts"].append({"amount": share, "discount": discount_id})
    return amount


def _taxes(sandbox: Sandbox, invoice: Obj, lines: list[Obj]) -> list[Obj]:
    """Exclusive tax: each rate once over all the lines it applies to, then shared out to those lines."""
    if invoice["customer_tax_exempt"] in ("exempt", "reverse"):
        return []
    by_rate: dict[str, list[Obj]] = {}
    defaults = [rate["id"] for rate in invoice["default_tax_rates"]]
    for line in lines:
        for rate_id in invoice["_line_rates"].get(line["id"]) or defaults:
            by_rate.setdefault(rate_id, []).append(line)
    totals = []
    for rate_id, taxed in by_rate.items():
        rate = sandbox.find("tax_rate", rate_id, "tax_rates")
        base = sum(_left(line) for line in taxed)
        amount = round_half_up(Decimal(base) * Decimal(str(rate["percentage"])) / 100, step_of(invoice["currency"]))
        weights = [abs(_left(line)) for line in taxed]
        # Signed bases (prorations) are shared by size; the sum is what counts and it is exact.
        shares = allocate(abs(amount), weights) if any(weights) else [0] * len(taxed)
        for line, share in zip(taxed, shares, strict=True):
            line["taxes"].append(_tax(share if amount >= 0 else -share, rate_id, _left(line)))
        totals.append(_tax(amount, rate_id, base))
    return totals


def _tax(amount: int, rate_id: str, base: int) -> Obj:
    return {
        "amount": amount,
        "tax_behavior": "exclusive",
        "tax_rate_details": {"tax_rate": rate_id},
        "taxability_reason": "standard_rated",
        "taxable_amount": base,
        "type": "tax_rate_details",
    }
