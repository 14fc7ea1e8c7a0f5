"""The calls on invoices."""

from billing.sandbox.api import call
from billing.sandbox.core import Sandbox
from billing.sandbox.errors import refused
from billing.sandbox.render import page, public
from billing.sandbox.resources import discounts, invoice_items, invoice_state
from billing.sandbox.resources.common import assign, check_currency, merge_metadata, rows_filtered
from billing.sandbox.resources.payment_methods import payment_method_given
from billing.sandbox.resources.subscription_items import tax_rates_of
from billing.sandbox.state import Obj

_FIELDS = "custom_fields description footer due_date statement_descriptor"


@call("POST", "invoices", "InvoiceCreateParams")
def invoice_create(sandbox: Sandbox, params: Obj) -> Obj:
    subscription = None
    if params.get("subscription"):
        subscription = sandbox.find("subscription", params["subscription"], "subscription")
    ident = params.get("customer") or (subscription or {}).get("customer")
    if ident is None:
        raise refused("Missing required param: customer.", "parameter_missing", "customer")
    customer = sandbox.find("customer", ident, "customer")
    currency = params.get("currency") or (subscription or {}).get("currency") or customer["currency"] or "usd"
    invoice = invoice_state.draft(
        sandbox, customer, check_currency(currency), "manual", sandbox.now_of(customer), subscription
    )
    # Invoices made by hand wait for their maker unless told otherwise.
    invoice["auto_advance"] = params.get("auto_advance", False)
    invoice["collection_method"] = params.get("collection_method", invoice["collection_method"])
    _apply(sandbox, invoice, params)
    if "days_until_due" in params:
        invoice["due_date"] = invoice["created"] + params["days_until_due"] * 86_400
    if params.get("pending_invoice_items_behavior") == "include":
        invoice_items.attach_pending(sandbox, invoice, subscription["id"] if subscription else None)
    invoice_state.save(sandbox, invoice)
    if subscription is not None:
        subscription["latest_invoice"] = invoice["id"]
        sandbox.save(subscription)
    invoice_state.announce_draft(sandbox, invoice)
    return invoice


def _apply(sandbox: Sandbox, invoice: Obj, params: Obj) -> Obj:
    previous = assign(invoice, params, _FIELDS)
    if "default_payment_method" in params:
        given = params["default_payment_method"]
        invoice["default_payment_method"] = payment_method_given(sandbox, given)["id"] if given else None
    if "default_tax_rates" in params:
        invoice["default_tax_rates"] = tax_rates_of(sandbox, params["default_tax_rates"])
    if "discounts" in params:
        customer = sandbox.find("customer", invoice["customer"])
        given = params["discounts"] or []
        invoice["discounts"] = [discounts.redeem(sandbox, d, customer, invoice=invoice["id"])["id"] for d in given]
    merge_metadata(invoice, params)
    return previous


@call("GET", "invoices", "InvoiceListParams")
def invoice_list(sandbox: Sandbox, params: Obj) -> Obj:
    given = dict(params)
    if "subscription" in given:
        given["_subscription"] = given["subscription"]
    rows = rows_filtered(sandbox, "invoice", given, "_subscription customer status", "collection_method")
    return page(sandbox.store, "invoice", rows, params, "/v1/invoices")


@call("GET", "invoices/{id}", "InvoiceRetrieveParams")
def invoice_retrieve(sandbox: Sandbox, params: Obj, ident: str) -> Obj:
    return sandbox.find("invoice", ident)


@call("GET", "invoices/{id}/lines", "InvoiceLineItemListParams")
def invoice_lines(sandbox: Sandbox, params: Obj, ident: str) -> Obj:
    invoice = sandbox.find("invoice", ident)
    lines = invoice["_lines"]
    limit, after = params.get("limit", 10), params.get("starting_after")
    begin = 0
    if after:
        places = [index for index, line in enumerate(lines) if line["id"] == after]
        if not places:
            raise refused(f"No such line item: '{after}'", "resource_missing", "starting_after")
        begin = places[0] + 1
    rows = lines[begin : begin + limit]
    more = begin + limit < len(lines)
    return {"object": "list", "data": rows, "has_more": more, "url": f"/v1/invoices/{ident}/lines"}


@call("POST", "invoices/{id}", "InvoiceUpdateParams")
def invoice_update(sandbox: Sandbox, params: Obj, ident: str) -> Obj:
    invoice = sandbox.find("invoice", ident)
    frozen = params.keys() & {"default_tax_rates", "discounts", "description", "footer", "collection_method"}
    if invoice["status"] != "draft" and frozen:
        raise refused("Finalized invoices can't be updated in this way.", "invoice_not_editable", min(frozen))
    previous = _apply(sandbox, invoice, params)
    if "collection_method" in params:
        invoice["collection_method"] = params["collection_method"]
    if "auto_advance" in params and params["auto_advance"] != invoice["auto_advance"]:
        previous["auto_advance"] = invoice["auto_advance"]
        _set_auto_advance(sandbox, invoice, params["auto_advance"])
    if invoice["status"] == "draft":
        invoice_state.save(sandbox, invoice)
    sandbox.save(invoice)
    sandbox.emit("invoice.updated", invoice, previous)
    return invoice


def _set_auto_advance(sandbox: Sandbox, invoice: Obj, wanted: bool) -> None:
    if wanted and invoice["status"] not in ("draft", "open"):
        raise refused("You can only set auto_advance on draft and open invoices.", param="auto_advance")
    invoice["auto_advance"] = wanted
    if invoice["status"] != "draft":
        return
    now = sandbox.now_of(invoice)
    when = max(invoice["created"] + invoice_state.DRAFT_SECONDS, now) if wanted else None
    invoice["automatically_finalizes_at"] = when
    if when is not None:
        sandbox.clock.schedule(invoice["test_clock"], when, "invoice.finalize", invoice["id"])


@call("DELETE", "invoices/{id}", "InvoiceDeleteParams")
def invoice_delete(sandbox: Sandbox, params: Obj, ident: str) -> Obj:
    invoice = sandbox.find("invoice", ident)
    if invoice["status"] != "draft" or invoice["_subscription"]:
        raise refused("You can only delete draft invoices that no subscription made.", "invoice_not_editable")
    for item in sandbox.store.by("invoiceitem", "invoice", ident):
        sandbox.store.remove("invoiceitem", item["id"])
    sandbox.store.remove("invoice", ident)
    sandbox.emit("invoice.deleted", invoice)
    return {"id": ident, "object": "invoice", "deleted": True}


@call("POST", "invoices/{id}/finalize", "InvoiceFinalizeInvoiceParams")
def invoice_finalize(sandbox: Sandbox, params: Obj, ident: str) -> Obj:
    invoice = sandbox.find("invoice", ident)
    if "auto_advance" in params and invoice["status"] == "draft":
        invoice["auto_advance"] = params["auto_advance"]
    return invoice_state.finalize(sandbox, invoice, sandbox.now_of(invoice))


@call("POST", "invoices/{id}/pay", "InvoicePayParams")
def invoice_pay(sandbox: Sandbox, params: Obj, ident: str) -> Obj:
    invoice = sandbox.find("invoice", ident)
    now = sandbox.now_of(invoice)
    if invoice["status"] == "draft":
        invoice_state.finalize(sandbox, invoice, now, collect=False)
    if invoice["status"] == "paid":
        raise refused("Invoice is already paid", "invoice_already_paid")
    if invoice["status"] == "void":
        raise refused("This invoice is void and can't be paid.", "invoice_not_payable")
    if params.get("paid_out_of_band"):
        invoice_state.mark_paid(sandbox, invoice, now)
        return invoice
    method = None
    if params.get("payment_method"):
        method = payment_method_given(sandbox, params["payment_method"])
    off_session = params.get("off_session", True)
    error = invoice_state.collect_payment(sandbox, invoice, now, method, off_session=off_session)
    if error is not None:
        raise error
    return invoice


@call("POST", "invoices/{id}/send", "InvoiceSendInvoiceParams")
def invoice_send(sandbox: Sandbox, params: Obj, ident: str) -> Obj:
    invoice = sandbox.find("invoice", ident)
    if invoice["collection_method"] != "send_invoice":
        raise refused("You can only manually send an invoice if its collection method is 'send_invoice'.")
    if invoice["status"] == "draft":
        invoice_state.finalize(sandbox, invoice, sandbox.now_of(invoice), collect=False)
    sandbox.emit("invoice.sent", invoice)
    return invoice


@call("POST", "invoices/{id}/void", "InvoiceVoidInvoiceParams")
def invoice_void(sandbox: Sandbox, params: Obj, ident: str) -> Obj:
    return _close(sandbox, ident, "void", ("open", "uncollectible"))


@call("POST", "invoices/{id}/mark_uncollectible", "InvoiceMarkUncollectibleParams")
def invoice_mark_uncollectible(sandbox: Sandbox, params: Obj, ident: str) -> Obj:
    return _close(sandbox, ident, "uncollectible", ("open",))


def _close(sandbox: Sandbox, ident: str, status: str, allowed: tuple[str, ...]) -> Obj:
    invoice = sandbox.find("invoice", ident)
    if invoice["status"] not in allowed:
        raise refused(
            f"You can only make an invoice {status} when it is {' or '.join(allowed)}; it is {invoice['status']}.",
            "invoice_not_editable",
        )
    return invoice_state.close(sandbox, invoice, status, sandbox.now_of(invoice))


@call("GET", "invoice_payments", "InvoicePaymentListParams")
def invoice_payment_list(sandbox: Sandbox, params: Obj) -> Obj:
    given = dict(params)
    if "payment" in given:
        given["_payment_intent"] = given["payment"].get("payment_intent")
    rows = rows_filtered(sandbox, "invoice_payment", given, "invoice _payment_intent", "status")
    return page(sandbox.store, "invoice_payment", rows, params, "/v1/invoice_payments")


@call("GET", "invoice_payments/{id}", "InvoicePaymentRetrieveParams")
def invoice_payment_retrieve(sandbox: Sandbox, params: Obj, ident: str) -> Obj:
    return public(sandbox.find("invoice_payment", ident))
