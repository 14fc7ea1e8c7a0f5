"""May this caller do this? A view names the permission of each method; roles and scopes grant them."""

from typing import Any

from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from millrace.api.caller import Caller
from millrace.kernel.errors import Conflict, Forbidden, NotFound, Unauthenticated

PUBLIC = "public"
LOGGED_IN = "logged_in"
OPS = "ops.read"
_OF_GET = {"HEAD", "OPTIONS"}
# What a suspended tenant keeps besides reading: the way out of suspension.
_WHILE_SUSPENDED = frozenset({"billing.write"})


class TenantSuspended(Forbidden):
    """The tenant may look at what it has and pay; nothing else."""

    code = "tenant_suspended"
    title = "The tenant is suspended"


class TenantLeft(Conflict):
    """What the person sent was meant for a tenant that they do not belong to any more."""

    code = "tenant_left"
    title = "You do not belong to that organisation any more"


class HasPermission(BasePermission):
    """The API's gate: every view passes through `require`."""

    def has_permission(self, request: Request, view: Any) -> bool:
        """Raises the coded refusal; a method that the view has but forgot to name is refused too."""
        method = request.method or ""
        wanted = view.permission.get("GET" if method in _OF_GET else method)
        if wanted is None:
            if hasattr(view, method.lower()) and method not in _OF_GET:
                raise Forbidden("This method has no permission of its own.")
            return True  # the view has no such method: let it answer 405
        if wanted != PUBLIC:
            require(request.auth, wanted)
        return True


def require(caller: Any, wanted: str) -> Caller:
    """The caller, if it may do what `wanted` names; pages and the API ask here.

    Raises Unauthenticated for strangers, NotFound for those who are not to know that staff's doors exist, Forbidden
    without a tenant or without the permission, TenantLeft for a write that was meant for another, TenantSuspended for all
    but reading and paying while suspended.
    """
    if not isinstance(caller, Caller):
        raise Unauthenticated("Send an API key as 'Authorization: Bearer …', or log in.")
    if wanted == LOGGED_IN:
        return caller
    if wanted == OPS:
        if not caller.is_staff:
            raise NotFound()
        return caller
    if caller.tenant is None:
        raise Forbidden("Choose a tenant first.", **{"permission": wanted})
    if wanted not in caller.permissions:
        raise Forbidden(
            f"This needs the permission {wanted!r}, which your role or key does not have.", **{"permission": wanted}
        )
    if caller.has_moved and not wanted.endswith(".read"):
        raise TenantLeft(f"Nothing was done. From now on you act for {caller.tenant.name}.")
    if caller.tenant.state == "suspended" and not wanted.endswith(".read") and wanted not in _WHILE_SUSPENDED:
        raise TenantSuspended("Reading and paying are open; the rest opens again when the tenant is resumed.")
    return caller
