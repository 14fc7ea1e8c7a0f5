"""Connect: accounts, the links that onboard them, transfers and reversals."""

from billing.sandbox.api import call
from billing.sandbox.core import Sandbox
from billing.sandbox.errors import refused
from billing.sandbox.ids import token
from billing.sandbox.render import page, public
from billing.sandbox.resources.common import (
    assign,
    check_amount,
    check_currency,
    jsonable,
    merge_metadata,
    rows_filtered,
    simple_reads,
)
from billing.sandbox.resources.money import available, book
from billing.sandbox.state import Obj

simple_reads("account", "accounts", "Account")

_LINK_SECONDS = 300


@call("POST", "accounts", "AccountCreateParams")
def account_create(sandbox: Sandbox, params: Obj) -> Obj:
    """An account whose capabilities are active at once: the sandbox asks nobody for papers."""
    account = sandbox.new("account")
    account |= {"country": params.get("country", "US"), "type": params.get("type", "express")}
    account["default_currency"] = params.get("default_currency", "usd")
    account["external_accounts"] = account["external_accounts"] | {
        "url": f"/v1/accounts/{account['id']}/external_accounts"
    }
    _apply(account, params)
    account |= {"charges_enabled": True, "payouts_enabled": True}
    account["details_submitted"] = account["type"] == "custom"
    sandbox.save(account)
    sandbox.emit("account.updated", account, {})
    return account


def _apply(account: Obj, params: Obj) -> None:
    assign(account, params, "email business_type business_profile settings default_currency")
    for name, wanted in (params.get("capabilities") or {}).items():
        account["capabilities"][name] = "active" if jsonable(wanted).get("requested") else "inactive"
    merge_metadata(account, params)


@call("POST", "accounts/{id}", "AccountUpdateParams")
def account_update(sandbox: Sandbox, params: Obj, ident: str) -> Obj:
    account = sandbox.find("account", ident)
    _apply(account, params)
    sandbox.save(account)
    sandbox.emit("account.updated", account, {})
    return account


@call("DELETE", "accounts/{id}", "AccountDeleteParams")
def account_delete(sandbox: Sandbox, params: Obj, ident: str) -> Obj:
    account = sandbox.find("account", ident)
    if available(sandbox, account["default_currency"], ident):
        raise refused("The account still has a balance and cannot be deleted.")
    sandbox.store.remove("account", ident)
    return {"id": ident, "object": "account", "deleted": True}


@call("POST", "account_links", "AccountLinkCreateParams")
def account_link_create(sandbox: Sandbox, params: Obj) -> Obj:
    """A link that submits the account's details and returns to `return_url` when it is opened."""
    account = sandbox.find("account", params["account"], "account")
    secret = token(24)
    account |= {"_link": secret, "_return_url": params.get("return_url")}
    sandbox.save(account)
    now = sandbox.clock.now()
    url = f"{sandbox.base_url}/onboarding/{account['id']}/{secret}"
    return {"object": "account_link", "created": now, "expires_at": now + _LINK_SECONDS, "url": url}


@call("POST", "accounts/{id}/login_links", "AccountLoginLinkCreateParams")
def login_link_create(sandbox: Sandbox, params: Obj, ident: str) -> Obj:
    sandbox.find("account", ident)
    return {"object": "login_link", "created": sandbox.clock.now(), "url": f"{sandbox.base_url}/express/{ident}"}


@call("POST", "transfers", "TransferCreateParams")
def transfer_create(sandbox: Sandbox, params: Obj) -> Obj:
    """Money to a connected account, from the available balance or out of one charge (`source_transaction`)."""
    account = sandbox.find("account", params["destination"], "destination")
    if account["capabilities"].get("transfers") != "active":
        raise refused(
            "Your destination account needs to have the `transfers` capability enabled.",
            "insufficient_capabilities_for_transfer",
            "destination",
        )
    currency = check_currency(params["currency"])
    charge = (
        sandbox.find("charge", params["source_transaction"], "source_transaction")
        if params.get("source_transaction")
        else None
    )
    amount = params.get("amount", charge["amount"] if charge else None)
    if amount is None:
        raise refused("Missing required param: amount.", "parameter_missing", "amount")
    check_amount(amount)
    _check_covered(sandbox, charge, amount, currency)
    now = sandbox.clock.now()
    transfer = sandbox.new("transfer", created=now, amount=amount, currency=currency, destination=account["id"])
    assign(transfer, params, "description source_transaction transfer_group")
    merge_metadata(transfer, params)
    transfer["reversals"] = transfer["reversals"] | {"url": f"/v1/transfers/{transfer['id']}/reversals"}
    transfer["balance_transaction"] = book(sandbox, -amount, currency, "transfer", transfer["id"], now)["id"]
    transfer["destination_payment"] = f"py_{token(24)}"
    book(sandbox, amount, currency, "payment", transfer["destination_payment"], now, account["id"])
    sandbox.save(transfer)
    sandbox.emit("transfer.created", transfer)
    return transfer


def _check_covered(sandbox: Sandbox, charge: Obj | None, amount: int, currency: str) -> None:
    if charge is None:
        if available(sandbox, currency) < amount:
            raise refused(
                "You have insufficient available funds in your Stripe account. Try adding funds directly to your "
                "available balance by creating Charges using the 4000000000000077 test card.",
                "balance_insufficient",
            )
        return
    if charge["currency"] != currency:
        raise refused("The currency of source_transaction's balance transaction must match.", param="currency")
    sent = sum(
        row["amount"] - row["amount_reversed"]
        for row in sandbox.store.all("transfer")
        if row["source_transaction"] == charge["id"]
    )
    if sent + amount > charge["amount_captured"]:
        raise refused(
            "Cannot transfer more than the source charge amount.", "transfer_source_balance_parameters_mismatch"
        )


@call("GET", "transfers", "TransferListParams")
def transfer_list(sandbox: Sandbox, params: Obj) -> Obj:
    rows = rows_filtered(sandbox, "transfer", params, "destination transfer_group")
    return page(sandbox.store, "transfer", rows, params, "/v1/transfers")


@call("GET", "transfers/{id}", "TransferRetrieveParams")
def transfer_retrieve(sandbox: Sandbox, params: Obj, ident: str) -> Obj:
    return sandbox.find("transfer", ident)


@call("POST", "transfers/{id}", "TransferUpdateParams")
def transfer_update(sandbox: Sandbox, params: Obj, ident: str) -> Obj:
    transfer = sandbox.find("transfer", ident)
    previous = assign(transfer, params, "description")
    merge_metadata(transfer, params)
    sandbox.save(transfer)
    sandbox.emit("transfer.updated", transfer, previous)
    return transfer


@call("POST", "transfers/{id}/reversals", "TransferReversalCreateParams")
def reversal_create(sandbox: Sandbox, params: Obj, ident: str) -> Obj:
    """Take (part of) a transfer back, as far as the recipient still has the money."""
    transfer = sandbox.find("transfer", ident)
    left = transfer["amount"] - transfer["amount_reversed"]
    if left == 0:
        raise refused(f"Transfer {ident} is already fully reversed.", "transfer_already_reversed")
    amount = check_amount(params.get("amount", left))
    if amount > left:
        raise refused(
            f"Reversal amount ({amount}) is greater than unreversed amount on transfer ({left})", param="amount"
        )
    currency = transfer["currency"]
    if available(sandbox, currency, transfer["destination"]) < amount:
        raise refused("The recipient has insufficient funds for this reversal.", "balance_insufficient")
    now = sandbox.clock.now()
    reversal = sandbox.new("transfer_reversal", created=now, amount=amount, currency=currency, transfer=ident)
    merge_metadata(reversal, params)
    reversal["balance_transaction"] = book(sandbox, amount, currency, "transfer_refund", reversal["id"], now)["id"]
    book(sandbox, -amount, currency, "payment_refund", reversal["id"], now, transfer["destination"])
    sandbox.save(reversal)
    transfer["amount_reversed"] += amount
    transfer["reversed"] = transfer["amount_reversed"] == transfer["amount"]
    rows = sandbox.store.by("transfer_reversal", "transfer", ident)
    transfer["reversals"] = transfer["reversals"] | {"data": [public(row) for row in reversed(rows)][:10]}
    sandbox.save(transfer)
    sandbox.emit("transfer.reversed", transfer)
    return reversal


@call("GET", "transfers/{id}/reversals", "TransferReversalListParams")
def reversal_list(sandbox: Sandbox, params: Obj, ident: str) -> Obj:
    rows = reversed(sandbox.store.by("transfer_reversal", "transfer", ident))
    return page(sandbox.store, "transfer_reversal", rows, params, f"/v1/transfers/{ident}/reversals")


@call("GET", "transfers/{id}/reversals/{reversal}", "TransferReversalRetrieveParams")
def reversal_retrieve(sandbox: Sandbox, params: Obj, ident: str, reversal: str) -> Obj:
    return sandbox.find("transfer_reversal", reversal)
