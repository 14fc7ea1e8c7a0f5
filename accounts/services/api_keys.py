"""API keys: `mr_<env>_<lookup>_<secret>`."""

from datetime import datetime

from django.conf import settings
from django.db import transaction

from accounts import secrets
from accounts.errors import ScopeUnknown
from accounts.models import ApiKey, Tenant
from accounts.roles import SCOPES
from millrace.kernel import clock
from millrace.kernel.audit import Actor, record


def api_key_create(
    *, tenant: Tenant, name: str, scopes: list[str], actor: Actor, expires_at: datetime | None = None
) -> tuple[ApiKey, str]:
    """A new key and its secret in plain text: the only time that anybody sees it. Runs in the tenant's scope."""
    unknown = sorted(set(scopes) - set(SCOPES))
    if unknown or not scopes:
        raise ScopeUnknown(f"Choose from: {', '.join(SCOPES)}.", field="scopes")
    lookup, secret = secrets.new_token(12), secrets.new_token(40)
    with transaction.atomic():
        key = ApiKey.objects.create(
            tenant=tenant,
            name=name,
            lookup=lookup,
            secret_hash=secrets.keyed_hash(secret),
            scopes=sorted(set(scopes)),
            created_by=str(actor),
            expires_at=expires_at,
        )
        record(actor=actor, action="api_key.create", target=key, tenant_id=tenant.pk, data={"scopes": key.scopes})
    environment = "test" if settings.CLOCK_MOVABLE else "live"
    return key, f"mr_{environment}_{lookup}_{secret}"


def api_key_revoke(*, key: ApiKey, actor: Actor) -> ApiKey:
    """Make the key useless from the next request on; the door of predictions remembers it for seconds. Safe to repeat."""
    with transaction.atomic():
        revoked = ApiKey.objects.filter(pk=key.pk, revoked_at__isnull=True).update(revoked_at=clock.now())
        if revoked:
            record(actor=actor, action="api_key.revoke", target=key, tenant_id=key.tenant_id)
    key.refresh_from_db()
    return key
