"""Makers of the usual cast, through the services where these exist."""

from typing import Any
from uuid import uuid4

from django.test import Client

from accounts.models import Membership, Tenant, User
from accounts.roles import Role
from accounts.services.api_keys import api_key_create
from accounts.services.tenants import tenant_create
from millrace.kernel import clock
from millrace.kernel.audit import Actor
from millrace.kernel.tenancy import platform_scope, tenant_scope

SYSTEM = Actor.system("tests")


def make_user(email: str = "", *, verified: bool = True, **fields: Any) -> User:
    """A user, verified unless told otherwise; the password is "correct horse battery"."""
    user = User.objects.create_user(
        email or f"{uuid4().hex[:12]}@example.com",
        "correct horse battery",
        verified_at=clock.now() if verified else None,
        **fields,
    )
    user.emailaddress_set.create(email=user.email, verified=verified, primary=True)
    return user


def make_tenant(
    name: str = "Acme Sensors", *, owner: User | None = None, kind: str = "customer", **context: Any
) -> Tenant:
    """A tenant; `context` is its signup_context."""
    return tenant_create(name=name, owner=owner, actor=SYSTEM, kind=kind, signup_context=context)


def make_member(tenant: Tenant, email: str = "", role: str = Role.DEVELOPER) -> User:
    """A verified user with a role in the tenant."""
    user = make_user(email)
    with platform_scope(reason="test data"):
        Membership.objects.create(tenant=tenant, user=user, role=role)
        Tenant.objects.filter(pk=tenant.pk, verified_at__isnull=True).update(verified_at=user.verified_at)
    return user


def make_api_key(tenant: Tenant, scopes: list[str] | None = None) -> str:
    """An API key's plain text."""
    with tenant_scope(tenant.pk):
        return api_key_create(tenant=tenant, name="test", scopes=scopes or ["admin"], actor=SYSTEM)[1]


class ApiClient:
    """Django's test client, speaking JSON with an API key."""

    def __init__(self, secret: str | None = None) -> None:
        self.client = Client(raise_request_exception=True)
        self.headers = {"Authorization": f"Bearer {secret}"} if secret else {}

    def get(self, path: str, **query: Any) -> Any:
        """GET with a query string."""
        return self.client.get(path, query, headers=self.headers)

    def post(self, path: str, body: Any = None, *, key: str | None = None, **kwargs: Any) -> Any:
        """POST a JSON body, with an Idempotency-Key where `key` is given."""
        return self._send("post", path, body, key, **kwargs)

    def put(self, path: str, body: Any = None) -> Any:
        """PUT a JSON body."""
        return self._send("put", path, body, None)

    def patch(self, path: str, body: Any = None) -> Any:
        """PATCH a JSON body."""
        return self._send("patch", path, body, None)

    def delete(self, path: str) -> Any:
        """DELETE."""
        return self.client.delete(path, headers=self.headers)

    def _send(self, method: str, path: str, body: Any, key: str | None, **kwargs: Any) -> Any:
        headers = self.headers | ({"Idempotency-Key": key} if key else {})
        return getattr(self.client, method)(
            path, body or {}, content_type="application/json", headers=headers, **kwargs
        )


def api_client(tenant: Tenant, scopes: list[str] | None = None) -> ApiClient:
    """A client with a fresh key of the tenant."""
    return ApiClient(make_api_key(tenant, scopes))


def logged_in(user: User) -> Client:
    """A browser's session of the user."""
    client = Client()
    client.force_login(user)
    return client
