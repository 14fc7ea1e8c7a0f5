"""The account's money: balance transactions, and balances of the platform and of connected accounts."""

from billing.sandbox.api import call
from billing.sandbox.core import PLATFORM, Sandbox
from billing.sandbox.render import page
from billing.sandbox.resources.common import rows_filtered
from billing.sandbox.state import Obj


def book(
    sandbox: Sandbox, amount: int, currency: str, type_: str, source: str, now: int, account: str = PLATFORM
) -> Obj:
    """Add `amount` minor units (negative: out) to an account's balance; returns the balance transaction.

    Money is available at once and the sandbox takes no fee, so that books kept against it stay legible.
    """
    row = sandbox.new("balance_transaction", created=now, available_on=now, amount=amount, net=amount)
    row |= {"currency": currency, "type": type_, "reporting_category": type_, "source": source, "_account": account}
    sandbox.save(row)
    total = _total(sandbox, account)
    total["amounts"][currency] = total["amounts"].get(currency, 0) + amount
    sandbox.store.put("_balance", total)
    return row


def _total(sandbox: Sandbox, account: str) -> Obj:
    return sandbox.store.get("_balance", account) or {"id": account, "amounts": {}}


def available(sandbox: Sandbox, currency: str, account: str = PLATFORM) -> int:
    """Minor units of a currency that an account could pay out now."""
    return _total(sandbox, account)["amounts"].get(currency, 0)


@call("GET", "balance", "BalanceRetrieveParams")
def balance_retrieve(sandbox: Sandbox, params: Obj) -> Obj:
    account = sandbox.acting_account or PLATFORM
    amounts = _total(sandbox, account)["amounts"] or {"usd": 0}
    rows = [{"amount": n, "currency": c, "source_types": {"card": n}} for c, n in sorted(amounts.items())]
    zero = [{"amount": 0, "currency": c, "source_types": {"card": 0}} for c in sorted(amounts)]
    return {"object": "balance", "available": rows, "connect_reserved": [], "livemode": False, "pending": zero}


@call("GET", "balance_transactions", "BalanceTransactionListParams")
def balance_transaction_list(sandbox: Sandbox, params: Obj) -> Obj:
    account = sandbox.acting_account or PLATFORM
    rows = rows_filtered(
        sandbox, "balance_transaction", params | {"_account": account}, "source _account", "type currency"
    )
    return page(sandbox.store, "balance_transaction", rows, params, "/v1/balance_transactions")


@call("GET", "balance_transactions/{id}", "BalanceTransactionRetrieveParams")
def balance_transaction_retrieve(sandbox: Sandbox, params: Obj, ident: str) -> Obj:
    return sandbox.find("balance_transaction", ident)
