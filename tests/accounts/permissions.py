"""What each of this room's addresses asks of its caller."""

from accounts.models import Tenant
from accounts.services.invitations import invitation_create
from millrace.kernel.tenancy import tenant_scope
from tests import factories
from tests.guards.permission_table import Row


def _member(tenant: Tenant) -> dict[str, str]:
    user = factories.make_member(tenant)
    with tenant_scope(tenant.pk):
        return {"member_id": user.memberships.get().public_id}


def _invitation(tenant: Tenant) -> dict[str, str]:
    with tenant_scope(tenant.pk):
        made = invitation_create(
            tenant=tenant, email=factories.make_user().email, role="viewer", actor=factories.SYSTEM, by_owner=True
        )
        return {"invitation_id": made.public_id}


def _key(tenant: Tenant) -> dict[str, str]:
    from accounts.models import ApiKey

    factories.make_api_key(tenant)
    with tenant_scope(tenant.pk):
        return {"key_id": ApiKey.objects.latest("created_at").public_id}


ROWS = [
    Row("GET", "/healthz", "public"),
    Row("GET", "/readyz", "public"),
    Row("GET", "/metrics", "public"),
    Row("GET", "/docs", "public"),
    Row("GET", "/v1/openapi.json", "public"),
    Row("GET", "/v1/me", "logged_in"),
    Row("PATCH", "/v1/me", "logged_in"),
    Row("GET", "/v1/tenant", "tenant.read"),
    Row("PATCH", "/v1/tenant", "tenant.write"),
    Row("GET", "/v1/members", "members.read"),
    Row("GET", "/v1/members/{member_id}", "members.read", _member),
    Row("PATCH", "/v1/members/{member_id}", "members.write", _member),
    Row("DELETE", "/v1/members/{member_id}", "members.write", _member),
    Row("GET", "/v1/invitations", "members.read"),
    Row("POST", "/v1/invitations", "members.write"),
    Row("POST", "/v1/invitations/accept", "logged_in"),
    Row("GET", "/v1/invitations/{invitation_id}", "members.read", _invitation),
    Row("DELETE", "/v1/invitations/{invitation_id}", "members.write", _invitation),
    Row("GET", "/v1/api-keys", "keys.read"),
    Row("POST", "/v1/api-keys", "keys.write"),
    Row("GET", "/v1/api-keys/{key_id}", "keys.read", _key),
    Row("DELETE", "/v1/api-keys/{key_id}", "keys.write", _key),
    Row("GET", "/v1/audit-log", "audit.read"),
    Row("GET", "/invitations/{token}", "public"),
    Row("POST", "/invitations/{token}", "logged_in"),
    Row("POST", "/tenant/switch", "logged_in"),
    Row("GET", "/tenant/new", "logged_in"),
    Row("POST", "/tenant/new", "logged_in"),
    Row("GET", "/dev/mail/", "public"),
    Row("GET", "/", "public"),
    Row("POST", "/theme", "public"),
    Row("GET", "/members/", "members.read"),
    Row("POST", "/members/", "members.write"),
    Row("POST", "/members/{member_id}/role", "members.write", _member),
    Row("POST", "/members/{member_id}/remove", "members.write", _member),
    Row("POST", "/members/invitations/{invitation_id}/withdraw", "members.write", _invitation),
    Row("GET", "/api-keys/", "keys.read"),
    Row("POST", "/api-keys/", "keys.write"),
    Row("POST", "/api-keys/{key_id}/revoke", "keys.write", _key),
    Row("GET", "/audit-log/", "audit.read"),
]
