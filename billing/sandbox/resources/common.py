"""What the resources share: metadata merging, plain retrieve and list calls, price and amount helpers."""

from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any

from billing.sandbox.api import call
from billing.sandbox.core import Sandbox
from billing.sandbox.errors import refused
from billing.sandbox.periods import round_half_up, step_of
from billing.sandbox.render import page
from billing.sandbox.state import Obj

MAX_AMOUNT = 99_999_999_999


def merge_metadata(obj: Obj, params: Obj) -> None:
    """Stripe's rule: keys are merged, an empty value removes a key, an empty `metadata` removes all."""
    if "metadata" not in params:
        return
    given = params["metadata"]
    if given == "":
        obj["metadata"] = {}
        return
    merged = {**obj["metadata"], **given}
    kept = {key: value for key, value in merged.items() if value != ""}
    if len(kept) > 50:
        raise refused("You can have at most 50 metadata keys", param="metadata")
    for key, value in kept.items():
        if len(key) > 40 or not isinstance(value, str) or len(value) > 500:
            raise refused(f"Metadata key or value too long: {key[:60]}", param="metadata")
    obj["metadata"] = kept


def assign(obj: Obj, params: Obj, names: str) -> Obj:
    """Copy the named parameters that were given; an empty string unsets. Returns what they were before."""
    previous = {}
    for name in names.split():
        if name in params:
            value = None if params[name] == "" else jsonable(params[name])
            if obj.get(name) != value:
                previous[name] = obj.get(name)
                obj[name] = value
    return previous


def jsonable(value: Any) -> Any:
    """Parameters as an answer carries them: decimals as text, empty strings inside objects as null."""
    if isinstance(value, Decimal):
        return format(value.normalize(), "f")
    if isinstance(value, dict):
        return {key: (None if item == "" else jsonable(item)) for key, item in value.items()}
    if isinstance(value, list):
        return [jsonable(item) for item in value]
    return value


def check_amount(amount: int, param: str = "amount", least: int = 1) -> int:
    if amount < least:
        raise refused(f"Invalid {param}: must be at least {least}", "parameter_invalid_integer", param)
    if amount > MAX_AMOUNT:
        raise refused("Amount must be no more than 99999999999", "amount_too_large", param)
    return amount


def check_step(amount: int, currency: str) -> int:
    """A charge or a refund in a currency with three decimals ends in nought."""
    if amount % step_of(currency):
        raise refused(f"Amounts in {currency} must be evenly divisible by 10.", "parameter_invalid_integer", "amount")
    return amount


def whole_amount(value: Decimal, param: str = "amount") -> int:
    """Minor units from an exact amount, rounded half up; refuses what no account could hold."""
    if abs(value) > MAX_AMOUNT:
        raise refused("Amount must be no more than 99999999999", "amount_too_large", param)
    return round_half_up(value)


def check_currency(text: str, param: str = "currency") -> str:
    if len(text) != 3 or not text.isalpha():
        raise refused(f"Invalid currency: {text}", "parameter_invalid_string", param)
    return text.lower()


Rows = Callable[[Sandbox, Obj], Iterable[Obj]]


def rows_filtered(sandbox: Sandbox, kind: str, params: Obj, indexed: str, others: str = "") -> Iterable[Obj]:
    """Newest first; filtered by the first given indexed field through its index, by the rest one by one."""
    wanted = {name: params[name] for name in f"{indexed} {others}".split() if name in params}
    for name in indexed.split():
        if name in params:
            rows: Iterable[Obj] = reversed(sandbox.store.by(kind, name, params[name]))
            break
    else:
        rows = sandbox.store.newest_first(kind)
    return (
        obj for obj in rows if not obj.get("_deleted") and all(obj.get(name) == value for name, value in wanted.items())
    )


def simple_reads(kind: str, path: str, params: str, indexed: str = "", others: str = "") -> None:
    """Registers `GET path` and `GET path/{id}` for a kind; `params` is the stem of the SDK's parameter classes."""

    @call("GET", path, f"{params}ListParams")
    def read_list(sandbox: Sandbox, given: Obj) -> Obj:
        return page(sandbox.store, kind, rows_filtered(sandbox, kind, given, indexed, others), given, f"/v1/{path}")

    @call("GET", f"{path}/{{id}}", f"{params}RetrieveParams")
    def read_one(sandbox: Sandbox, given: Obj, ident: str) -> Obj:
        return sandbox.find(kind, ident)
