"""The doors on who calls, its tenant, its people and keys."""

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import selectors
from accounts.api import serializers as shapes
from accounts.api.authentication import TENANT_SESSION_KEY, caller_of
from accounts.models import ApiKey
from accounts.roles import Role, permissions_of_scopes
from accounts.services.api_keys import api_key_create, api_key_revoke
from accounts.services.invitations import invitation_accept, invitation_create, invitation_revoke
from accounts.services.members import member_remove, member_set_role
from accounts.services.tenants import tenant_rename
from accounts.services.users import user_rename
from millrace.api.caller import Caller
from millrace.api.schema import paged
from millrace.api.views import ApiView
from millrace.kernel.errors import Forbidden


class Me(ApiView):
    """Who calls."""

    permission = {"GET": "logged_in", "PATCH": "logged_in"}

    @extend_schema(responses=shapes.MeSerializer, summary="Who calls, for which tenant, and what it may do")
    def get(self, request: Request) -> Response:
        """The person or the key, the tenant it acts for, its permissions, and all tenants of the person."""
        return Response(_me(self.caller))

    @extend_schema(
        request=shapes.MeChangeSerializer, responses=shapes.MeSerializer, summary="Change one's name or tenant"
    )
    def patch(self, request: Request) -> Response:
        """Persons only: another display name, and which of one's tenants this session acts for."""
        user = _person(self.caller)
        wanted = self.valid(shapes.MeChangeSerializer)
        place = selectors.membership_in(user, wanted["tenant"]) if "tenant" in wanted else None
        if "name" in wanted:
            user_rename(user=user, name=wanted["name"], actor=self.caller.actor)
        if place is not None:
            request._request.session[TENANT_SESSION_KEY] = str(place.tenant_id)
        return Response(_me(caller_of(user, request._request.session.get(TENANT_SESSION_KEY))))


class TenantDoor(ApiView):
    """The caller's tenant."""

    permission = {"GET": "tenant.read", "PATCH": "tenant.write"}

    @extend_schema(responses=shapes.TenantSerializer, summary="The tenant that the caller acts for")
    def get(self, request: Request) -> Response:
        """Its name, kind and state."""
        return Response(shapes.TenantSerializer(self.caller.tenant).data)

    @extend_schema(
        request=shapes.TenantChangeSerializer, responses=shapes.TenantSerializer, summary="Rename the tenant"
    )
    def patch(self, request: Request) -> Response:
        """Another display name; the slug stays, since links hold it."""
        wanted = self.valid(shapes.TenantChangeSerializer)
        tenant = tenant_rename(tenant=self.caller.tenant, name=wanted["name"], actor=self.caller.actor)
        return Response(shapes.TenantSerializer(tenant).data)


class Members(ApiView):
    """The tenant's people."""

    permission = {"GET": "members.read"}

    @paged(shapes.MemberSerializer, summary="The tenant's members")
    def get(self, request: Request) -> Response:
        """Newest first."""
        return self.page(selectors.members(self.caller.tenant_id), shapes.MemberSerializer)


class Member(ApiView):
    """One of them."""

    permission = {"GET": "members.read", "PATCH": "members.write", "DELETE": "members.write"}

    @extend_schema(responses=shapes.MemberSerializer, summary="A member")
    def get(self, request: Request, member_id: str) -> Response:
        """The person and the role."""
        return Response(shapes.MemberSerializer(selectors.member_by_id(self.caller.tenant_id, member_id)).data)

    @extend_schema(request=shapes.RoleSerializer, responses=shapes.MemberSerializer, summary="Give another role")
    def patch(self, request: Request, member_id: str) -> Response:
        """Only owners make or change owners; the last owner stays one (409 `last_owner`)."""
        member = selectors.member_by_id(self.caller.tenant_id, member_id)
        role = self.valid(shapes.RoleSerializer)["role"]
        member = member_set_role(
            tenant_id=self.caller.tenant_id, member_id=member.pk, role=role, actor=self.caller.actor,
            by_owner=_is_owner(self.caller),
        )  # fmt: skip
        return Response(shapes.MemberSerializer(member).data)

    @extend_schema(request=None, responses={204: None}, summary="Remove a member")
    def delete(self, request: Request, member_id: str) -> Response:
        """From the next request on they see nothing; the last owner cannot be removed (409 `last_owner`)."""
        member = selectors.member_by_id(self.caller.tenant_id, member_id)
        member_remove(
            tenant_id=self.caller.tenant_id, member_id=member.pk, actor=self.caller.actor,
            by_owner=_is_owner(self.caller),
        )  # fmt: skip
        return Response(status=204)


class Invitations(ApiView):
    """Roles offered to addresses."""

    permission = {"GET": "members.read", "POST": "members.write"}

    @paged(shapes.InvitationSerializer, summary="The tenant's invitations")
    def get(self, request: Request) -> Response:
        """Newest first, spent ones too."""
        return self.page(selectors.invitations(self.caller.tenant_id), shapes.InvitationSerializer)

    @extend_schema(
        request=shapes.InvitationRequestSerializer,
        responses={201: shapes.InvitationSerializer},
        summary="Invite an address",
    )
    def post(self, request: Request) -> Response:
        """Mails a link that works once, for seven days. An open invitation to the same address is withdrawn."""
        wanted = self.valid(shapes.InvitationRequestSerializer)
        invitation = invitation_create(
            tenant=self.caller.tenant, email=wanted["email"], role=wanted["role"], actor=self.caller.actor,
            by_owner=_is_owner(self.caller),
        )  # fmt: skip
        return Response(shapes.InvitationSerializer(invitation).data, status=201)


class Invitation(ApiView):
    """One of them."""

    permission = {"GET": "members.read", "DELETE": "members.write"}

    @extend_schema(responses=shapes.InvitationSerializer, summary="An invitation")
    def get(self, request: Request, invitation_id: str) -> Response:
        """Its address, role and state."""
        found = selectors.invitation_by_id(self.caller.tenant_id, invitation_id)
        return Response(shapes.InvitationSerializer(found).data)

    @extend_schema(request=None, responses={204: None}, summary="Withdraw an invitation")
    def delete(self, request: Request, invitation_id: str) -> Response:
        """Its link is dead from now on; one that was accepted stays (409 `invitation_invalid`)."""
        found = selectors.invitation_by_id(self.caller.tenant_id, invitation_id)
        invitation_revoke(tenant_id=self.caller.tenant_id, invitation=found, actor=self.caller.actor)
        return Response(status=204)


class InvitationAccept(ApiView):
    """The link's other end."""

    permission = {"POST": "logged_in"}

    @extend_schema(request=shapes.AcceptSerializer, responses=shapes.MemberSerializer, summary="Join a tenant")
    def post(self, request: Request) -> Response:
        """For a logged-in person with the invited address; the session acts for the new tenant from now on."""
        user = _person(self.caller)
        member = invitation_accept(
            token=self.valid(shapes.AcceptSerializer)["token"], user=user, actor=self.caller.actor
        )
        request._request.session[TENANT_SESSION_KEY] = str(member.tenant_id)
        return Response(shapes.MemberSerializer(member).data)


class ApiKeys(ApiView):
    """Credentials for programs."""

    permission = {"GET": "keys.read", "POST": "keys.write"}
    shown_once = frozenset({"secret"})

    @paged(shapes.KeySerializer, summary="The tenant's API keys")
    def get(self, request: Request) -> Response:
        """Newest first, revoked ones too; never their secrets."""
        return self.page(selectors.api_keys(self.caller.tenant_id), shapes.KeySerializer)

    @extend_schema(
        request=shapes.KeyRequestSerializer, responses={201: shapes.NewKeySerializer}, summary="Make an API key"
    )
    def post(self, request: Request) -> Response:
        """The answer holds the secret, this once: it is stored as a keyed hash only. A key opens nothing that its maker
        may not do."""
        wanted = self.valid(shapes.KeyRequestSerializer)
        opens = permissions_of_scopes(wanted["scopes"], tenant_kind=self.caller.tenant.kind)
        if beyond := opens - self.caller.permissions:
            raise Forbidden(f"You may not do this yourself: {', '.join(sorted(beyond))}.", field="scopes")
        key, secret = api_key_create(tenant=self.caller.tenant, actor=self.caller.actor, **wanted)
        return Response(shapes.KeySerializer(key).data | {"secret": secret}, status=201)


class ApiKeyDoor(ApiView):
    """One of them."""

    permission = {"GET": "keys.read", "DELETE": "keys.write"}

    @extend_schema(responses=shapes.KeySerializer, summary="An API key")
    def get(self, request: Request, key_id: str) -> Response:
        """Its name, scopes and times."""
        return Response(shapes.KeySerializer(self._key(key_id)).data)

    @extend_schema(request=None, responses={204: None}, summary="Revoke an API key")
    def delete(self, request: Request, key_id: str) -> Response:
        """It opens nothing from the next request on, and no online prediction after four seconds. Safe to repeat."""
        api_key_revoke(key=self._key(key_id), actor=self.caller.actor)
        return Response(status=204)

    def _key(self, key_id: str) -> ApiKey:
        return selectors.api_key_by_id(self.caller.tenant_id, key_id)


class AuditLog(ApiView):
    """The tenant's history."""

    permission = {"GET": "audit.read"}

    @paged(shapes.AuditEntrySerializer, summary="Who did what")
    def get(self, request: Request) -> Response:
        """Newest first; written in the transaction of each act, and never changed."""
        return self.page(selectors.audit_log(self.caller.tenant_id), shapes.AuditEntrySerializer)


def _is_owner(caller: Caller) -> bool:
    return caller.role == Role.OWNER


def _person(caller: Caller):
    if caller.user is None:
        raise Forbidden("This is for persons: log in, an API key will not do.")
    return caller.user


def _me(caller: Caller) -> dict:
    return shapes.MeSerializer(
        {
            "user": caller.user,
            "api_key": caller.api_key,
            "tenant": caller.tenant,
            "role": caller.role,
            "permissions": sorted(caller.permissions),
            "tenants": selectors.memberships_of(caller.user) if caller.user else [],
        }
    ).data
