"""Who calls: an API key in the Authorization header, or the portal's session with CSRF."""

from dataclasses import replace
from typing import Any

from django.http import HttpResponse
from django.middleware.csrf import CsrfViewMiddleware
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from accounts.models import Membership, User
from accounts.roles import permissions_of_role, permissions_of_scopes
from accounts.selectors import api_key_by_secret, memberships_of
from millrace.api.caller import Caller
from millrace.kernel.audit import Actor
from millrace.kernel.errors import Forbidden, Unauthenticated

TENANT_SESSION_KEY = "tenant_id"


class CsrfFailed(Forbidden):
    """A session's write without its CSRF token: it may come from somebody else's page."""

    code = "csrf_failed"
    title = "The CSRF token is missing or wrong"


class ApiKeyAuthentication(BaseAuthentication):
    """`Authorization: Bearer mr_<env>_<prefix>_<secret>`."""

    def authenticate(self, request: Request) -> tuple[Any, Caller] | None:
        """The key's caller; None without the header; 401 for a key that is unknown, revoked or expired."""
        scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        key = api_key_by_secret(credentials.strip())
        if key is None:
            raise Unauthenticated("The API key is unknown, revoked or has expired.")
        granted = permissions_of_scopes(key.scopes, tenant_kind=key.tenant.kind)
        return None, Caller(Actor.api_key(key), api_key=key, tenant=key.tenant, permissions=granted)

    def authenticate_header(self, request: Request) -> str:
        """What a 401 asks for."""
        return 'Bearer realm="api"'


class SessionAuthentication(BaseAuthentication):
    """The portal's session; unsafe methods need the CSRF token."""

    def authenticate(self, request: Request) -> tuple[Any, Caller] | None:
        """The logged-in person's caller in the tenant chosen in the session."""
        user = getattr(request._request, "user", None)
        if user is None or not user.is_active:
            return None
        _enforce_csrf(request)
        return user, caller_of_session(request._request)


def caller_of_session(request: Any) -> Caller:
    """The logged-in person in the session's tenant, which is kept in it from the first request on: what somebody sends
    from a page of one tenant must not be done in their next one, because they were removed in between."""
    wanted = request.session.get(TENANT_SESSION_KEY) or ""
    caller = caller_of(request.user, wanted)
    acts_for = str(caller.tenant_id) if caller.has_tenant else ""
    if acts_for == wanted:
        return caller
    request.session[TENANT_SESSION_KEY] = acts_for
    return replace(caller, has_moved=bool(wanted))


def caller_of(user: User, wanted_tenant: str | None) -> Caller:
    """A person as a caller, in the wanted tenant if they belong to it, else in their first."""
    places = memberships_of(user)
    place = next((one for one in places if str(one.tenant_id) == wanted_tenant), places[0] if places else None)
    return _caller_at(user, place)


def _caller_at(user: User, place: Membership | None) -> Caller:
    if place is None:
        return Caller(Actor.user(user), user=user, is_staff=user.is_staff)
    granted = permissions_of_role(place.role, tenant_kind=place.tenant.kind)
    return Caller(Actor.user(user), user, None, place.tenant, place.role, granted, user.is_staff)


def _enforce_csrf(request: Request) -> None:
    check: Any = CsrfViewMiddleware(lambda _: HttpResponse())
    check.process_request(request._request)
    if refusal := check.process_view(request._request, None, (), {}):
        raise CsrfFailed(f"Send the csrftoken cookie's value as X-CSRFToken ({refusal.reason_phrase}).")
