"""This room's reads."""

from datetime import timedelta
from typing import TypeVar
from uuid import UUID

from django.db.models import Model, QuerySet

from accounts import secrets
from accounts.models import ApiKey, Invitation, Membership, Tenant, User
from millrace.kernel import clock, ids
from millrace.kernel.errors import NotFound
from millrace.kernel.models import AuditEntry
from millrace.kernel.tenancy import platform_scope

Row = TypeVar("Row", bound=Model)
_NO_HASH = "0" * 64
_LAST_USED_STEP = timedelta(minutes=1)


def memberships_of(user: User) -> list[Membership]:
    """The user's places in all its tenants, oldest first; closed tenants left out."""
    with platform_scope(reason="a person's own memberships lie in many tenants"):
        found = Membership.objects.filter(user=user).exclude(tenant__state="closed")
        return list(found.select_related("tenant").order_by("created_at", "id"))


def api_key_by_secret(text: str) -> ApiKey | None:
    """The usable key behind `mr_<env>_<lookup>_<secret>`, with its tenant; None for anything else."""
    parts = text.split("_")
    if len(parts) != 4 or parts[0] != "mr" or not (text.isascii() and text.isprintable()):
        return None
    with platform_scope(reason="authenticate an API key"):
        key = ApiKey.objects.select_related("tenant").filter(lookup=parts[2], revoked_at__isnull=True).first()
        # An unknown key is compared as well, so that the time taken does not tell which keys exist.
        proven = secrets.matches(parts[3], key.secret_hash if key else _NO_HASH)
        if key is None or not proven:
            return None
        now = clock.now()
        if (key.expires_at and key.expires_at <= now) or key.tenant.state == "closed":
            return None
        if key.last_used_at is None or now - key.last_used_at > _LAST_USED_STEP:
            ApiKey.objects.filter(pk=key.pk).update(last_used_at=now)
    return key


def members(tenant_id: UUID) -> QuerySet[Membership]:
    """A tenant's members with their users."""
    return Membership.objects.filter(tenant_id=tenant_id).select_related("user")


def api_keys(tenant_id: UUID) -> QuerySet[ApiKey]:
    """A tenant's keys, revoked ones too."""
    return ApiKey.objects.filter(tenant_id=tenant_id)


def tenant_by_id(tenant_id: UUID) -> Tenant:
    """The tenant in scope."""
    return Tenant.objects.get(pk=tenant_id)


def member_by_id(tenant_id: UUID, text: str) -> Membership:
    """The tenant's member behind a public id; NotFound otherwise."""
    return _found(members(tenant_id), Membership.PREFIX, text)


def membership_in(user: User, tenant_id: UUID) -> Membership:
    """The user's place in a tenant that it may act for; NotFound where it has none."""
    place = next((one for one in memberships_of(user) if one.tenant_id == tenant_id), None)
    if place is None:
        raise NotFound("You belong to no such tenant.")
    return place


def invitations(tenant_id: UUID) -> QuerySet[Invitation]:
    """A tenant's invitations, spent ones too."""
    return Invitation.objects.filter(tenant_id=tenant_id)


def invitation_by_id(tenant_id: UUID, text: str) -> Invitation:
    """The tenant's invitation behind a public id; NotFound otherwise."""
    return _found(invitations(tenant_id), Invitation.PREFIX, text)


def invitation_by_token(token: str) -> Invitation | None:
    """The invitation that can still be accepted with this token, with its tenant."""
    with platform_scope(reason="whoever holds an invitation is no member yet"):
        return (
            Invitation.objects.select_related("tenant")
            .filter(token_hash=secrets.keyed_hash(token), accepted_at=None, revoked_at=None)
            .filter(expires_at__gt=clock.now())
            .exclude(tenant__state="closed")
            .first()
        )


def api_key_by_id(tenant_id: UUID, text: str) -> ApiKey:
    """The tenant's key behind a public id; NotFound otherwise."""
    return _found(api_keys(tenant_id), ApiKey.PREFIX, text)


def audit_log(tenant_id: UUID) -> QuerySet[AuditEntry]:
    """Who did what in the tenant."""
    return AuditEntry.objects.filter(tenant_id=tenant_id)


def last_state_change(tenant_id: UUID) -> AuditEntry | None:
    """How the tenant came to its present state: `data` holds before, after and reason. None for one that never moved."""
    return audit_log(tenant_id).filter(action="tenant.set_state").order_by("-id").first()


def _found(rows: QuerySet[Row], prefix: str, text: str) -> Row:
    row = rows.filter(pk=ids.parse(prefix, text)).first()
    if row is None:
        raise NotFound(f"There is no {prefix} {text[:64]!r}.")
    return row
