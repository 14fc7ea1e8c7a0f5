"""This room's reads."""

from datetime import timedelta
from uuid import UUID

from django.db.models import QuerySet

from accounts import secrets
from accounts.models import ApiKey, Membership, Tenant, User
from millrace.kernel import clock
from millrace.kernel.tenancy import platform_scope

_LAST_USED_STEP = timedelta(minutes=1)


def memberships_of(user: User) -> list[Membership]:
    """The user's places in all its tenants, oldest first; closed tenants left out."""
    with platform_scope(reason="a person's own memberships lie in many tenants"):
        found = Membership.objects.filter(user=user).exclude(tenant__state="closed")
        return list(found.select_related("tenant").order_by("created_at", "id"))


def api_key_by_secret(text: str) -> ApiKey | None:
    """The usable key behind `mr_<env>_<lookup>_<secret>`, with its tenant; None for anything else."""
    parts = text.split("_")
    if len(parts) != 4 or parts[0] != "mr":
        return None
    with platform_scope(reason="authenticate an API key"):
        key = ApiKey.objects.select_related("tenant").filter(lookup=parts[2], revoked_at__isnull=True).first()
        if key is None or not secrets.matches(parts[3], key.secret_hash):
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
