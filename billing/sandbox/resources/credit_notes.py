"""Credit notes: the only way to change what a finalised invoice amounts to."""

from decimal import Decimal

from billing.sandbox.api import call
from billing.sandbox.core import Sandbox
from billing.sandbox.errors import missing, refused
from billing.sandbox.resources import customers, invoice_state
from billing.sandbox.resources.common import assign, check_amount, merge_metadata, simple_reads, whole_amount
from billing.sandbox.resources.refunds import refund_charge
from billing.sandbox.state import Obj

simple_reads("credit_note", "credit_notes", "CreditNote", indexed="invoice customer")


@call("POST", "credit_notes", "CreditNoteCreateParams")
def credit_note_create(sandbox: Sandbox, params: Obj) -> Obj:
    """Before payment it lowers what is owed; after, the money goes back as refund, balance or out of band."""
    invoice = sandbox.find("invoice", params["invoice"], "invoice")
    if invoice["status"] not in ("open", "paid", "uncollectible"):
        raise refused(f"You can't create a credit note for an invoice that is {invoice['status']}.", param="invoice")
    now = sandbox.now_of(invoice)
    note = sandbox.new("credit_note", created=now, invoice=invoice["id"], currency=invoice["currency"])
    note |= {"customer": invoice["customer"], "effective_at": params.get("effective_at", now)}
    assign(note, params, "memo reason out_of_band_amount")
    merge_metadata(note, params)
    _add_lines(sandbox, note, invoice, params)
    earlier = [row for row in sandbox.store.by("credit_note", "invoice", invoice["id"]) if row["status"] == "issued"]
    left = invoice["total"] - sum(row["total"] for row in earlier)
    if not 0 < note["total"] <= left:
        raise refused(f"The credit note's total must be above 0 and at most {left}, what is left.", param="amount")
    note["number"] = f"{invoice['number']}-CN-{len(earlier) + 1:02d}"
    owed = invoice["amount_remaining"] if invoice["status"] != "paid" else 0
    note["pre_payment_amount"] = min(owed, note["total"])
    note["post_payment_amount"] = note["total"] - note["pre_payment_amount"]
    note["type"] = "pre_payment" if note["pre_payment_amount"] else "post_payment"
    _check_split(note, params)
    _give_back(sandbox, note, invoice, params)
    sandbox.save(note)
    sandbox.emit("credit_note.created", note)
    _lower(sandbox, invoice, note, now)
    return note


def _add_lines(sandbox: Sandbox, note: Obj, invoice: Obj, params: Obj) -> None:
    lines = [_line(sandbox, invoice, given) for given in params.get("lines") or []]
    note["subtotal"] = sum(line["amount"] for line in lines)
    tax = sum(entry["amount"] for line in lines for entry in line["taxes"])
    note["total"] = note["subtotal"] + tax
    if not lines:
        if "amount" not in params:
            raise refused("You must provide either `amount` or `lines`.", "parameter_missing", "amount")
        note["subtotal"] = note["total"] = check_amount(params["amount"])
    elif "amount" in params and params["amount"] != note["total"]:
        raise refused("The amount must be the sum of the lines.", param="amount")
    note |= {"amount": note["total"], "subtotal_excluding_tax": note["subtotal"]}
    note |= {"total_excluding_tax": note["total"] - tax}
    note["total_taxes"] = [entry for line in lines for entry in line["taxes"]]
    note["lines"] = {"object": "list", "data": lines, "has_more": False, "url": f"/v1/credit_notes/{note['id']}/lines"}


def _line(sandbox: Sandbox, invoice: Obj, given: Obj) -> Obj:
    line = sandbox.new("credit_note_line_item", type=given["type"], quantity=given.get("quantity"))
    if given["type"] == "custom_line_item":
        unit = given.get("unit_amount", given.get("unit_amount_decimal"))
        if unit is None:
            raise refused("A custom line needs a unit_amount.", "parameter_missing", "lines[unit_amount]")
        line["amount"] = whole_amount(Decimal(unit) * given.get("quantity", 1))
        line |= {"description": given.get("description"), "unit_amount_decimal": str(unit)}
        return line
    original = next((row for row in invoice["_lines"] if row["id"] == given.get("invoice_line_item")), None)
    if original is None:
        raise missing("invoice line item", given.get("invoice_line_item", ""), "lines[invoice_line_item]")
    whole = original["amount"] - sum(entry["amount"] for entry in original["discount_amounts"])
    line["amount"] = given.get("amount", whole)
    if "amount" not in given and "quantity" in given and original["quantity"]:
        line["amount"] = whole_amount(Decimal(whole) * given["quantity"] / original["quantity"])
    line |= {"description": given.get("description", original["description"]), "invoice_line_item": original["id"]}
    if whole:
        for entry in original["taxes"]:
            share = whole_amount(Decimal(entry["amount"]) * line["amount"] / whole)
            line["taxes"].append(entry | {"amount": share, "taxable_amount": line["amount"]})
    return line


def _check_split(note: Obj, params: Obj) -> None:
    """What was paid must come back in full, by the ways the caller names."""
    named = [entry.get("amount_refunded", 0) for entry in params.get("refunds") or []]
    split = sum(params.get(name) or 0 for name in ("refund_amount", "credit_amount", "out_of_band_amount")) + sum(named)
    if split != note["post_payment_amount"]:
        raise refused(
            "The sum of credit amount, refund amount and out of band amount must equal the post payment amount "
            f"({note['post_payment_amount']}).",
            param="amount",
        )


def _give_back(sandbox: Sandbox, note: Obj, invoice: Obj, params: Obj) -> None:
    for entry in params.get("refunds") or []:
        refund = sandbox.find("refund", entry.get("refund", ""), "refunds[refund]")
        note["refunds"].append({"refund": refund["id"], "amount_refunded": entry.get("amount_refunded", 0)})
    if params.get("refund_amount"):
        payment = sandbox.find("invoice_payment", invoice.get("_payment", ""), "invoice")
        intent = sandbox.find("payment_intent", payment["_payment_intent"])
        charge = sandbox.find("charge", intent["latest_charge"] or "")
        refund = refund_charge(sandbox, charge, params["refund_amount"], {})
        note["refunds"].append({"refund": refund["id"], "amount_refunded": refund["amount"]})
    if params.get("credit_amount"):
        customer = sandbox.find("customer", invoice["customer"])
        row = customers.change_balance(
            sandbox, customer, -params["credit_amount"], "credit_note", invoice=invoice["id"], credit_note=note["id"]
        )
        note["customer_balance_transaction"] = row["id"]


def _lower(sandbox: Sandbox, invoice: Obj, note: Obj, now: int) -> None:
    invoice["pre_payment_credit_notes_amount"] += note["pre_payment_amount"]
    invoice["post_payment_credit_notes_amount"] += note["post_payment_amount"]
    invoice["amount_remaining"] -= note["pre_payment_amount"]
    sandbox.save(invoice)
    sandbox.emit("invoice.updated", invoice, {})
    if invoice["status"] == "open" and invoice["amount_remaining"] == 0:
        invoice_state.mark_paid(sandbox, invoice, now)


@call("GET", "credit_notes/{id}/lines", "CreditNoteLineItemListParams")
def credit_note_lines(sandbox: Sandbox, params: Obj, ident: str) -> Obj:
    return sandbox.find("credit_note", ident)["lines"]


@call("POST", "credit_notes/{id}", "CreditNoteUpdateParams")
def credit_note_update(sandbox: Sandbox, params: Obj, ident: str) -> Obj:
    note = sandbox.find("credit_note", ident)
    assign(note, params, "memo")
    merge_metadata(note, params)
    sandbox.save(note)
    sandbox.emit("credit_note.updated", note)
    return note


@call("POST", "credit_notes/{id}/void", "CreditNoteVoidCreditNoteParams")
def credit_note_void(sandbox: Sandbox, params: Obj, ident: str) -> Obj:
    """Only what has not been paid yet can be taken back."""
    note = sandbox.find("credit_note", ident)
    invoice = sandbox.find("invoice", note["invoice"])
    if note["status"] != "issued" or invoice["status"] != "open" or note["post_payment_amount"]:
        raise refused("You can only void a credit note of an invoice that is still open.")
    note |= {"status": "void", "voided_at": sandbox.now_of(invoice)}
    invoice["pre_payment_credit_notes_amount"] -= note["pre_payment_amount"]
    invoice["amount_remaining"] += note["pre_payment_amount"]
    sandbox.save(invoice)
    sandbox.save(note)
    sandbox.emit("credit_note.voided", note)
    return note
