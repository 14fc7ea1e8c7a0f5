"""What each role and each API-key scope may do: stands once, here."""

from django.db import models


class Role(models.TextChoices):
    """A member's role in a tenant."""

    OWNER = "owner"
    ADMIN = "admin"
    DEVELOPER = "developer"
    BILLING = "billing"
    VIEWER = "viewer"


_READ = {"tenant.read", "members.read", "data.read", "jobs.read", "models.read", "billing.read", "usage.read"}
_BUILD = {"data.write", "jobs.write", "models.write", "predict", "feedback", "usage.write"}
_MANAGE = {"tenant.write", "members.write", "keys.read", "keys.write", "audit.read", "billing.write"}
_PARTNER = {"partner.read", "reseller.read"}
_PARTNER_WRITE = {"partner.write", "reseller.write"}

PERMISSIONS = frozenset(_READ | _BUILD | _MANAGE | _PARTNER | _PARTNER_WRITE)

_OF_ROLE: dict[str, set[str]] = {
    Role.OWNER: _READ | _BUILD | _MANAGE,
    Role.ADMIN: _READ | _BUILD | _MANAGE,
    Role.DEVELOPER: _BUILD | (_READ - {"billing.read"}),
    Role.BILLING: {"tenant.read", "members.read", "usage.read", "billing.read", "billing.write"},
    Role.VIEWER: _READ,
}
_PARTNER_OF_ROLE: dict[str, set[str]] = {
    Role.OWNER: _PARTNER | _PARTNER_WRITE,
    Role.ADMIN: _PARTNER | _PARTNER_WRITE,
    Role.DEVELOPER: _PARTNER | _PARTNER_WRITE,
    Role.BILLING: _PARTNER,
    Role.VIEWER: _PARTNER,
}
# An API key's scopes; each opens these permissions and nothing else.
SCOPES: dict[str, set[str]] = {
    "read": _READ,
    "data": {"data.read", "data.write"},
    "jobs": {"jobs.read", "jobs.write", "data.read", "models.read"},
    "models": {"models.read", "models.write"},
    "predict": {"predict", "models.read", "feedback"},
    "usage": {"usage.read", "usage.write"},
    "billing": {"billing.read", "billing.write", "usage.read"},
    "admin": _READ | _BUILD | _MANAGE,
    "partner": {"partner.read", "partner.write"},
    "reseller": {"reseller.read", "reseller.write"},
}


def permissions_of_role(role: str, *, tenant_kind: str) -> frozenset[str]:
    """What a member with `role` may do in a tenant of that kind; a partner's tenant also opens the partner's doors."""
    granted = set(_OF_ROLE.get(role, set()))
    if tenant_kind == "partner":
        granted |= _PARTNER_OF_ROLE.get(role, set())
    return frozenset(granted)


def permissions_of_scopes(scopes: list[str], *, tenant_kind: str) -> frozenset[str]:
    """What an API key with these scopes may do; partner scopes count in a partner's tenant only."""
    granted = {permission for scope in scopes for permission in SCOPES.get(scope, set())}
    if tenant_kind != "partner":
        granted -= _PARTNER | _PARTNER_WRITE
    return frozenset(granted)
