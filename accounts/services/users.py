"""Users: what becomes of them."""

from django.db import transaction

from accounts.models import Membership, Tenant, User
from millrace.kernel import clock, outbox
from millrace.kernel.audit import Actor, record
from millrace.kernel.tenancy import platform_scope


def user_verify(*, user: User) -> User:
    """Mark the user's address as verified, and the tenants it belongs to. Safe to repeat.

    Announces `user.verified {user_id}` for each tenant.
    """
    with platform_scope(reason="a user's address is verified in all its tenants"), transaction.atomic():
        locked = User.objects.select_for_update(no_key=True).get(pk=user.pk)
        if locked.verified_at is not None:
            return locked
        locked.verified_at = user.verified_at = clock.now()
        locked.save(update_fields=["verified_at"])
        tenant_ids = list(Membership.objects.filter(user=locked).values_list("tenant_id", flat=True))
        Tenant.objects.filter(pk__in=tenant_ids, verified_at__isnull=True).update(verified_at=locked.verified_at)
        for tenant_id in tenant_ids:
            outbox.announce("user.verified", tenant_id=tenant_id, payload={"user_id": str(locked.pk)})
        record(actor=Actor.user(locked), action="user.verify", target=locked)
    return locked


def user_rename(*, user: User, name: str, actor: Actor) -> User:
    """Another display name."""
    with transaction.atomic():
        user.name = name
        user.save(update_fields=["name"])
        with platform_scope(reason="a person belongs to no one tenant"):
            record(actor=actor, action="user.rename", target=user)
    return user
