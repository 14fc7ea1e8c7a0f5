"""Invoice items: amounts that wait for the customer's next invoice, or go straight onto a draft."""

from decimal import Decimal

from billing.sandbox.api import call
from billing.sandbox.core import Sandbox
from billing.sandbox.errors import refused, required
from billing.sandbox.render import page
from billing.sandbox.resources import invoice_state
from billing.sandbox.resources.catalogue import price_amount, price_from_data
from billing.sandbox.resources.common import check_currency, jsonable, merge_metadata, rows_filtered, whole_amount
from billing.sandbox.resources.subscription_items import tax_rates_of
from billing.sandbox.state import Obj


def pending(
    sandbox: Sandbox, customer: str, currency: str, subscription: str | None, *, own: bool = False
) -> list[Obj]:
    """Items that wait for an invoice of this customer. `own`: only those tied to the subscription."""
    wanted = (subscription,) if own else (None, subscription)
    return [
        item
        for item in sandbox.store.by("invoiceitem", "customer", customer)
        if item["invoice"] is None and item["currency"] == currency and subscription_of(item) in wanted
    ]


def subscription_of(item: Obj) -> str | None:
    """The subscription an item is tied to."""
    return item["parent"]["subscription_details"]["subscription"] if item["parent"] else None


def attach_pending(sandbox: Sandbox, invoice: Obj, subscription: str | None) -> None:
    """Put what waits onto a draft, as far as it fits."""
    room = invoice_state.MAX_LINES - len(invoice["_lines"])
    for item in pending(sandbox, invoice["customer"], invoice["currency"], subscription)[:room]:
        onto_invoice(sandbox, item, invoice)


def line_for(sandbox: Sandbox, invoice: Obj, item: Obj) -> Obj:
    """A line for an item on a draft or a preview; nothing is stored."""
    details = {"invoice_item": item["id"], "proration": item["proration"], "subscription": subscription_of(item)}
    details["proration_details"] = {"credited_items": None}
    line = invoice_state.line_add(
        sandbox,
        invoice,
        amount=item["amount"],
        description=item["description"],
        period=(item["period"]["start"], item["period"]["end"]),
        parent={"type": "invoice_item_details", "invoice_item_details": details, "subscription_item_details": None},
        quantity=item["quantity"],
        tax_rates=[rate["id"] for rate in item["tax_rates"]],
        discountable=item["discountable"],
        metadata=item["metadata"],
        subscription=subscription_of(item),
    )
    line |= {"pricing": item["pricing"], "quantity_decimal": item["quantity_decimal"]}
    return line


def onto_invoice(sandbox: Sandbox, item: Obj, invoice: Obj) -> None:
    """Put an item on a draft; the caller saves the invoice."""
    line = line_for(sandbox, invoice, item)
    item |= {"invoice": invoice["id"], "_line": line["id"]}
    sandbox.save(item)


def proration_item(
    sandbox: Sandbox, subscription: Obj, item: Obj, *, amount: int, description: str, period: tuple[int, int]
) -> Obj:
    """An item for a share of a period, not stored; never discounted again."""
    made = sandbox.new("invoiceitem", amount=amount, net_amount=amount, currency=subscription["currency"])
    made |= {"customer": subscription["customer"], "description": description, "discountable": False}
    made |= {"period": {"start": period[0], "end": period[1]}, "proration": True, "quantity": item["quantity"]}
    made |= {"quantity_decimal": str(item["quantity"]), "test_clock": subscription["test_clock"], "date": period[0]}
    made |= {"parent": _parent(subscription["id"], item["id"]), "tax_rates": list(item["tax_rates"])}
    made["pricing"] = invoice_state.pricing_of(item["price"], "0")
    return made


def _parent(subscription: str, item: str | None = None) -> Obj:
    return {
        "type": "subscription_details",
        "subscription_details": {"subscription": subscription, "subscription_item": item},
    }


@call("POST", "invoiceitems", "InvoiceItemCreateParams")
def invoiceitem_create(sandbox: Sandbox, params: Obj) -> Obj:
    if "customer" not in params:
        raise required("customer")
    customer = sandbox.find("customer", params["customer"], "customer")
    invoice = _draft_given(sandbox, params, customer)
    now = sandbox.now_of(customer)
    item = sandbox.new("invoiceitem", customer=customer["id"], date=now, test_clock=customer["test_clock"])
    _set_amount(sandbox, item, params, invoice)
    item["period"] = params.get("period") or {"start": now, "end": now}
    if item["period"]["end"] < item["period"]["start"]:
        raise refused("The end of the period must not be before its start.", param="period[end]")
    item["tax_rates"] = tax_rates_of(sandbox, params.get("tax_rates"))
    item["discountable"] = params.get("discountable", item["amount"] >= 0)
    item["description"] = params.get("description")
    if params.get("subscription"):
        subscription = sandbox.find("subscription", params["subscription"], "subscription")
        item["parent"] = _parent(subscription["id"])
    merge_metadata(item, params)
    if invoice is not None:
        onto_invoice(sandbox, item, invoice)
        invoice_state.save(sandbox, invoice)
    sandbox.save(item)
    sandbox.emit("invoiceitem.created", item)
    return item


def _draft_given(sandbox: Sandbox, params: Obj, customer: Obj) -> Obj | None:
    if not params.get("invoice"):
        return None
    invoice = sandbox.find("invoice", params["invoice"], "invoice")
    if invoice["customer"] != customer["id"]:
        raise refused("The invoice belongs to a different customer.", param="invoice")
    if invoice["status"] != "draft":
        raise refused(
            "This invoice is no longer editable. You can only add invoice items to draft invoices.",
            "invoice_not_editable",
            "invoice",
        )
    return invoice


def _set_amount(sandbox: Sandbox, item: Obj, params: Obj, invoice: Obj | None) -> None:
    """Amount, currency and pricing, from `amount`, `pricing[price]`, `price_data` or `unit_amount_decimal`."""
    quantity = params.get("quantity_decimal", Decimal(params.get("quantity", 1)))
    whole = int(quantity) if quantity == int(quantity) else 1
    item |= {"quantity": whole, "quantity_decimal": jsonable(quantity)}
    price = None
    if (params.get("pricing") or {}).get("price"):
        price = sandbox.find("price", params["pricing"]["price"], "pricing[price]")
    elif "price_data" in params:
        price = price_from_data(sandbox, params["price_data"])
    currency = params.get("currency") or (price or invoice or {}).get("currency")
    if currency is None:
        raise required("currency")
    item["currency"] = check_currency(currency)
    if invoice is not None and item["currency"] != invoice["currency"]:
        raise refused("The currency of the item must be that of the invoice.", param="currency")
    if price is not None:
        item["amount"], unit = price_amount(price, quantity), price["unit_amount_decimal"]
    elif "unit_amount_decimal" in params:
        item["amount"] = whole_amount(params["unit_amount_decimal"] * quantity)
        unit = jsonable(params["unit_amount_decimal"])
    elif "amount" in params:
        item["amount"] = whole_amount(Decimal(params["amount"]))
        unit = jsonable(Decimal(params["amount"]) / quantity) if quantity else "0"
    else:
        raise required("amount")
    item["net_amount"] = item["amount"]
    item["pricing"] = invoice_state.pricing_of(price, unit)


@call("GET", "invoiceitems", "InvoiceItemListParams")
def invoiceitem_list(sandbox: Sandbox, params: Obj) -> Obj:
    rows = rows_filtered(sandbox, "invoiceitem", params, "invoice customer")
    if "pending" in params:
        rows = (item for item in rows if (item["invoice"] is None) == params["pending"])
    given = dict(params)
    if "created" in given:
        rows = (item | {"created": item["date"]} for item in rows)
    return page(sandbox.store, "invoiceitem", rows, given, "/v1/invoiceitems")


@call("GET", "invoiceitems/{id}", "InvoiceItemRetrieveParams")
def invoiceitem_retrieve(sandbox: Sandbox, params: Obj, ident: str) -> Obj:
    return sandbox.find("invoiceitem", ident)


def _editable(sandbox: Sandbox, ident: str) -> tuple[Obj, Obj | None]:
    item = sandbox.find("invoiceitem", ident)
    invoice = sandbox.store.get("invoice", item["invoice"] or "")
    if invoice is not None and invoice["status"] != "draft":
        raise refused("This invoice item is on a finalized invoice and can't be changed.", "invoice_not_editable")
    return item, invoice


def take_off(invoice: Obj, line_id: str) -> None:
    """Remove a line from a draft; the caller saves."""
    invoice["_lines"] = [line for line in invoice["_lines"] if line["id"] != line_id]
    invoice["_line_rates"].pop(line_id, None)


@call("POST", "invoiceitems/{id}", "InvoiceItemUpdateParams")
def invoiceitem_update(sandbox: Sandbox, params: Obj, ident: str) -> Obj:
    item, invoice = _editable(sandbox, ident)
    if params.keys() & {"amount", "unit_amount_decimal", "pricing", "price_data", "quantity", "quantity_decimal"}:
        known = {"amount": item["amount"]} if params.keys() & {"quantity", "quantity_decimal"} else {}
        _set_amount(sandbox, item, known | {"currency": item["currency"]} | params, invoice)
    for name in ("description", "discountable", "period"):
        if name in params:
            item[name] = params[name]
    if "tax_rates" in params:
        item["tax_rates"] = tax_rates_of(sandbox, params["tax_rates"])
    merge_metadata(item, params)
    if invoice is not None:
        take_off(invoice, item["_line"])
        onto_invoice(sandbox, item, invoice)
        invoice_state.save(sandbox, invoice)
    return sandbox.save(item)


@call("DELETE", "invoiceitems/{id}", "InvoiceItemDeleteParams")
def invoiceitem_delete(sandbox: Sandbox, params: Obj, ident: str) -> Obj:
    item, invoice = _editable(sandbox, ident)
    if invoice is not None:
        take_off(invoice, item["_line"])
        invoice_state.save(sandbox, invoice)
    sandbox.store.remove("invoiceitem", ident)
    sandbox.emit("invoiceitem.deleted", item)
    return {"id": ident, "object": "invoiceitem", "deleted": True}
