"""Tenants: made, renamed, suspended, resumed, closed."""

from functools import partial
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.utils.text import slugify

from accounts.errors import HasTenant, TenantStateRefused
from accounts.models import Membership, Tenant, TenantKind, TenantState, User
from accounts.roles import Role
from accounts.secrets import new_token
from accounts.selectors import memberships_of
from millrace.kernel import clock, outbox
from millrace.kernel.audit import Actor, record
from millrace.kernel.tenancy import platform_scope

_MAY_BECOME = {
    TenantState.TRIALING: {TenantState.ACTIVE, TenantState.PAST_DUE, TenantState.SUSPENDED, TenantState.CLOSED},
    TenantState.ACTIVE: {TenantState.TRIALING, TenantState.PAST_DUE, TenantState.SUSPENDED, TenantState.CLOSED},
    TenantState.PAST_DUE: {TenantState.ACTIVE, TenantState.SUSPENDED, TenantState.CLOSED},
    TenantState.SUSPENDED: {TenantState.ACTIVE, TenantState.PAST_DUE, TenantState.TRIALING, TenantState.CLOSED},
    TenantState.CLOSED: set(),
}


def tenant_create(
    *,
    name: str,
    owner: User | None,
    actor: Actor,
    kind: str = TenantKind.CUSTOMER,
    signup_context: dict | None = None,
) -> Tenant:
    """A new tenant with its owner as first member (a reseller's customer may have none yet).

    Announces `tenant.created {tenant_id, kind, owner_id, email, **signup_context}`, which attribution listens to.
    `signup_context` says how they came: visitor_id, coupon, reseller_partner_id.
    """
    name = _one_line(name)
    with platform_scope(reason="a tenant is born outside any tenant"), transaction.atomic():
        verified_at = owner.verified_at if owner else None
        tenant = Tenant.objects.create(name=name, slug=_free_slug(name), kind=kind, verified_at=verified_at)
        if owner is not None:
            Membership.objects.create(tenant=tenant, user=owner, role=Role.OWNER)
        payload = {
            **(signup_context or {}),
            "tenant_id": str(tenant.pk),
            "kind": kind,
            "owner_id": str(owner.pk) if owner else None,
            "email": owner.email if owner else None,
        }
        outbox.announce("tenant.created", tenant_id=tenant.pk, payload=payload)
        if settings.OUTBOX_DOORBELL:
            # Whoever signs up goes on to buy within seconds: the rooms hear of it now, and not when a worker has time.
            transaction.on_commit(partial(outbox.drain, tenant_id=tenant.pk), robust=True)
        record(actor=actor, action="tenant.create", target=tenant, tenant_id=tenant.pk, data={"name": name})
    return tenant


def tenant_found(*, user: User, name: str, actor: Actor, signup_context: dict | None = None) -> Tenant:
    """A new organisation for a person who has none: whoever left the last one, or saw it closed.

    The person's row is locked meanwhile, so that a form sent twice founds one. Raises HasTenant for everybody else.
    """
    with transaction.atomic():
        locked = User.objects.select_for_update(no_key=True).get(pk=user.pk)
        if memberships_of(locked):
            raise HasTenant("You belong to an organisation already.")
        return tenant_create(name=name, owner=locked, actor=actor, signup_context=signup_context)


def tenant_rename(*, tenant: Tenant, name: str, actor: Actor) -> Tenant:
    """Another display name; the slug stays, since links hold it."""
    with platform_scope(reason="write the tenant's own row"), transaction.atomic():
        locked = Tenant.objects.select_for_update(no_key=True).get(pk=tenant.pk)
        before, locked.name = locked.name, _one_line(name)
        locked.save(update_fields=["name"])
        record(actor=actor, action="tenant.rename", target=locked, tenant_id=locked.pk, data={"before": before})
    return locked


def tenant_set_state(*, tenant_id: UUID, state: str, actor: Actor, reason: str = "") -> Tenant:
    """Move a tenant to a state that its present one allows. To the present one: nothing happens.

    Announces `tenant.state_changed {before, after, reason}`.
    """
    with platform_scope(reason="a tenant's state is the platform's to set"), transaction.atomic():
        tenant = Tenant.objects.select_for_update(no_key=True).get(pk=tenant_id)
        before = TenantState(tenant.state)
        if before == state:
            return tenant
        if state not in _MAY_BECOME[before]:
            raise TenantStateRefused(f"A tenant that is {before} cannot become {state}.")
        tenant.state, tenant.state_changed_at = state, clock.now()
        tenant.save(update_fields=["state", "state_changed_at"])
        payload = {"before": before, "after": state, "reason": reason}
        outbox.announce("tenant.state_changed", tenant_id=tenant.pk, payload=payload)
        record(actor=actor, action="tenant.set_state", target=tenant, tenant_id=tenant.pk, data=payload)
    return tenant


def _one_line(name: str) -> str:
    """The name as it stands in headings and in the subjects of mails, whatever white space it was typed with."""
    return " ".join(name.split())


def _free_slug(name: str) -> str:
    # Always with a random tail: a taken name must tell nobody that it is taken (T7).
    return f"{slugify(name)[:60] or 'tenant'}-{new_token(6)}"
