"""May this caller do this? A view names the permission of each method; roles and scopes grant them."""

from typing import Any

from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from millrace.api.caller import Caller
from millrace.kernel.errors import Forbidden, NotFound, Unauthenticated

PUBLIC = "public"
LOGGED_IN = "logged_in"
OPS = "ops.read"


class HasPermission(BasePermission):
    """Refuses strangers (401), then callers without the permission (403), then callers without a tenant (403)."""

    def has_permission(self, request: Request, view: Any) -> bool:
        """Raises the coded refusal; a method that the view forgot to name is refused too."""
        wanted = view.permission.get("GET" if request.method in {"HEAD", "OPTIONS"} else request.method)
        if wanted == PUBLIC:
            return True
        caller = request.auth
        if not isinstance(caller, Caller):
            raise Unauthenticated("Send an API key as 'Authorization: Bearer …', or log in.")
        if wanted == LOGGED_IN:
            return True
        if wanted is None:
            return True  # the view has no such method: let it answer 405
        if wanted == OPS:
            if not caller.is_staff:
                raise NotFound()  # staff pages do not exist for others
            return True
        if caller.tenant is None:
            raise Forbidden("Choose a tenant first.", **{"permission": wanted})
        if wanted not in caller.permissions:
            raise Forbidden(f"This needs the permission {wanted!r}, which your role or key does not have.",
                            **{"permission": wanted})  # fmt: skip
        return True
