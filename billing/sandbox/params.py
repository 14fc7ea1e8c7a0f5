"""Which parameters a call accepts, read from the SDK's own TypedDicts, and what a form body says in those types.

The SDK is the contract: what it can send is known here, anything else is refused as Stripe refuses it. Schemas are
compiled on first use, one TypedDict at a time, so that start-up costs nothing.
"""

import re
import types
import typing
from decimal import Decimal, InvalidOperation
from functools import cache
from typing import Any
from urllib.parse import parse_qsl

import stripe.params
from stripe._request_options import RequestOptions

from billing.sandbox.errors import StripeError, required

_REQUEST_OPTIONS = frozenset(RequestOptions.__annotations__)
_KEY = re.compile(r"\[([^\]]*)\]")
_MAX_DEPTH = 8
_MAX_FIELDS = 5_000


def decode_form(text: str) -> dict[str, Any]:
    """`a[b][0]=x` pairs as nested dicts (lists keep their indexes as keys until the schema says they are lists)."""
    tree: dict[str, Any] = {}
    try:
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=_MAX_FIELDS)
    except ValueError:
        raise StripeError(f"At most {_MAX_FIELDS} parameters are accepted.", code="parameter_invalid") from None
    for key, value in pairs:
        head = key.partition("[")[0]
        path = [head, *_KEY.findall(key[len(head) :])]
        if len(path) > _MAX_DEPTH:
            raise StripeError(f"Parameter nested too deeply: {key}", code="parameter_invalid", param=key)
        node = tree
        for step in path[:-1]:
            child = node.get(step)
            if not isinstance(child, dict):
                child = node[step] = {}
            node = child
        last = path[-1] if path[-1] else str(len(node))
        node[last] = value
    return tree


def validate(class_name: str, raw: dict[str, Any]) -> dict[str, Any]:
    """Typed parameters of a call; refuses unknown, missing and ill-typed ones with Stripe's codes."""
    return _check_dict(_class(class_name), raw, "")


@cache
def _class(name: str) -> type:
    module, _, attribute = name.rpartition(".")
    owner = getattr(stripe.params, module) if module else stripe.params
    return getattr(owner, attribute)


@cache
def _fields(cls: Any) -> tuple[dict[str, Any], frozenset[str]]:
    hints = typing.get_type_hints(cls, localns={"StripeContext": object, "Mapping": dict})
    top_level = issubclass_of_options(cls)
    fields = {name: hint for name, hint in hints.items() if not (top_level and name in _REQUEST_OPTIONS)}
    return fields, frozenset(cls.__required_keys__) & frozenset(fields)


def issubclass_of_options(cls: Any) -> bool:
    """Whether a TypedDict carries the SDK's transport options, which never travel as parameters."""
    return frozenset(cls.__annotations__) >= _REQUEST_OPTIONS


def _check_dict(cls: Any, raw: Any, path: str) -> dict[str, Any]:
    if not isinstance(raw, dict):
        raise StripeError(f"Invalid object: {path}", code="parameter_invalid_object", param=path or None)
    fields, needed = _fields(cls)
    out: dict[str, Any] = {}
    for name, value in raw.items():
        where = f"{path}[{name}]" if path else name
        if name not in fields:
            raise StripeError(f"Received unknown parameter: {where}", code="parameter_unknown", param=where)
        out[name] = _check(fields[name], value, where)
    for name in needed:
        if name not in out:
            raise required(f"{path}[{name}]" if path else name)
    return out


@cache
def _alternatives(hint: Any) -> tuple[Any, ...]:
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        members: list[Any] = []
        for member in typing.get_args(hint):
            members.extend(_alternatives(member))
        words = [m for m in members if typing.get_origin(m) is typing.Literal and typing.get_args(m) != ("",)]
        # `Literal['a', 'b'] | str` is an enumeration that the SDK leaves open for the future; here it is closed.
        return tuple(m for m in members if not (words and m is str) and m is not type(None))
    return (hint,)


def _check(hint: Any, value: Any, path: str) -> Any:
    members = _alternatives(hint)
    problem: StripeError | None = None
    for member in members:
        try:
            return _check_member(member, value, path)
        except StripeError as error:
            # Of several alternatives the last to look inside the value has the most to say about it.
            if problem is None or not isinstance(value, str) or typing.get_origin(member) is not typing.Literal:
                problem = error
    raise problem or StripeError(f"Invalid value: {path}", param=path)


def _check_member(hint: Any, value: Any, path: str) -> Any:
    origin = typing.get_origin(hint)
    if origin is typing.Literal:
        return _check_word(hint, value, path)
    if origin is list:
        return _check_list(hint, value, path)
    if origin is dict or (isinstance(origin, type) and origin.__name__ == "UntypedStripeObject"):
        if not isinstance(value, dict):
            raise StripeError(f"Invalid object: {path}", code="parameter_invalid_object", param=path)
        return {str(k): v for k, v in value.items()}
    if hasattr(hint, "__required_keys__"):  # a TypedDict, of typing or of typing_extensions
        return _check_dict(hint, value, path)
    return _check_scalar(hint, value, path)


def _check_word(hint: Any, value: Any, path: str) -> str:
    words = typing.get_args(hint)
    if isinstance(value, str) and value in words:
        return value
    if words == ("",):
        raise StripeError(f"Invalid {path}: must be empty", param=path)
    raise StripeError(f"Invalid {path}: must be one of {', '.join(w for w in words if w)}", param=path)


def _check_list(hint: Any, value: Any, path: str) -> list[Any]:
    if not isinstance(value, dict):
        raise StripeError(f"Invalid array: {path}", code="parameter_invalid_array", param=path)
    try:
        ordered = sorted(value.items(), key=lambda pair: int(pair[0]))
    except ValueError:
        raise StripeError(f"Invalid array: {path}", code="parameter_invalid_array", param=path) from None
    (member,) = typing.get_args(hint)
    return [_check(member, item, f"{path}[{index}]") for index, item in ordered]


def _check_scalar(hint: Any, value: Any, path: str) -> Any:
    if isinstance(value, dict):
        raise StripeError(f"Invalid string: {path}", code="parameter_invalid_string", param=path)
    if value == "":
        raise StripeError(
            f"You passed an empty string for '{path}'. We assume empty values are an attempt to unset a parameter; "
            f"however '{path}' cannot be unset. You should remove '{path}' from your request or supply a "
            "non-empty value.",
            code="parameter_invalid_empty",
            param=path,
        )
    if hint is int:
        if not re.fullmatch(r"-?\d{1,18}", value):
            raise StripeError(f"Invalid integer: {value}", code="parameter_invalid_integer", param=path)
        return int(value)
    if hint is bool:
        if value not in ("true", "false"):
            raise StripeError(f"Invalid boolean: {value}", code="parameter_invalid_boolean", param=path)
        return value == "true"
    if hint in (float, Decimal):
        try:
            number = Decimal(value)
        except InvalidOperation:
            number = Decimal("NaN")
        if not number.is_finite():
            raise StripeError(f"Invalid decimal: {value}", code="parameter_invalid_decimal", param=path)
        return number
    return value
