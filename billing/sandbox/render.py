"""From stored objects to answers: private keys dropped, lists cut to pages, ids expanded on request."""

from collections.abc import Callable, Iterable
from typing import Any

from billing.sandbox.errors import missing, refused
from billing.sandbox.ids import kind_of
from billing.sandbox.state import Obj, Store

# Fields that an answer leaves out unless they are asked for: (kind, field) -> function(sandbox, object) -> value.
INCLUDABLE: dict[tuple[str, str], Callable[[Any, Obj], Any]] = {}

Includer = Callable[[Any, Obj], Any]


def includable(kind: str, field: str) -> Callable[[Includer], Includer]:
    """Registers how to make a field that appears only when expanded."""

    def register(function: Includer) -> Includer:
        INCLUDABLE[(kind, field)] = function
        return function

    return register


def public(obj: Obj) -> Obj:
    """The object without the sandbox's own notes (keys with a leading underscore)."""
    return {key: value for key, value in obj.items() if not key.startswith("_")}


def listing(data: Iterable[Obj], url: str, has_more: bool = False) -> Obj:
    """Stripe's list envelope."""
    return {"object": "list", "data": [public(obj) for obj in data], "has_more": has_more, "url": url}


def page(store: Store, kind: str, rows: Iterable[Obj], params: Obj, url: str) -> Obj:
    """A page of `rows` (newest first) by `limit`, `starting_after`, `ending_before` and `created`."""
    limit = params.get("limit", 10)
    if not 1 <= limit <= 100:
        raise refused("Invalid integer: limit must be between 1 and 100", "parameter_invalid_integer", "limit")
    after, before = params.get("starting_after"), params.get("ending_before")
    for name, cursor in (("starting_after", after), ("ending_before", before)):
        if cursor is not None and store.get(kind, cursor) is None:
            error = missing(kind, cursor, name)
            error.status = 400
            raise error
    if before is not None:
        earlier = []
        for obj in rows:
            if obj["id"] == before:
                break
            if _created_within(obj, params.get("created")):
                earlier.append(obj)
        return listing(earlier[-limit:], url, len(earlier) > limit)
    found: list[Obj] = []
    started = after is None
    for obj in rows:
        if not started:
            started = obj["id"] == after
            continue
        if _created_within(obj, params.get("created")):
            found.append(obj)
            if len(found) > limit:
                break
    return listing(found[:limit], url, len(found) > limit)


def _created_within(obj: Obj, wanted: Any) -> bool:
    if wanted is None:
        return True
    created = obj["created"]
    if isinstance(wanted, int):
        return created == wanted
    checks = {
        "gt": lambda bound: created > bound,
        "gte": lambda bound: created >= bound,
        "lt": lambda bound: created < bound,
        "lte": lambda bound: created <= bound,
    }
    return all(checks[name](bound) for name, bound in wanted.items())


def expand(sandbox: Any, answer: Obj, paths: list[str]) -> Obj:
    """The answer with each path's id replaced by the object it names; the stored objects stay as they are."""
    for path in paths:
        steps = path.split(".")
        if len(steps) > 4 + (steps[0] == "data"):
            raise refused(f"You cannot expand more than 4 levels of a property: {path}", param="expand")
        answer = _expand_in(sandbox, answer, steps, path)
    return answer


def _expand_in(sandbox: Any, value: Any, steps: list[str], path: str) -> Any:
    if not steps or value is None:
        return value
    if isinstance(value, list):
        return [_expand_in(sandbox, item, steps, path) for item in value]
    if not isinstance(value, dict):
        raise refused(f"This property cannot be expanded ({path}).", param="expand[]")
    step, rest = steps[0], steps[1:]
    maker = INCLUDABLE.get((value.get("object", ""), step))
    if step in value and value[step] is not None and not (maker and isinstance(value[step], str)):
        child = value[step]
    elif maker is not None:
        child = maker(sandbox, value)
    elif step in value:
        return value
    else:
        raise refused(f"This property cannot be expanded ({path}).", param="expand[]")
    child = _resolve(sandbox, child, last=not rest, path=path)
    return {**value, step: _expand_in(sandbox, child, rest, path)}


def _resolve(sandbox: Any, child: Any, last: bool, path: str) -> Any:
    if isinstance(child, list):
        return [_resolve(sandbox, item, last, path) for item in child]
    if not isinstance(child, str):
        return child
    kind = kind_of(child)
    found = sandbox.store.get(kind, child) if kind else None
    if found is None:
        # Coupons have ids of the caller's choosing, so they cannot be told by a prefix.
        found = sandbox.store.get("coupon", child)
    if found is None:
        raise refused(f"This property cannot be expanded ({path}).", param="expand[]")
    return {"id": found["id"], "object": found["object"], "deleted": True} if found.get("_deleted") else public(found)
