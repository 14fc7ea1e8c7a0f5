"""Members: their role, and their leaving. The tenant's row is locked meanwhile, so that two owners who remove each
other at the same moment leave one. Here and elsewhere without its key: whoever writes a row that refers to the tenant, or
to a person, need not wait for that lock, and so cannot meet it in a deadlock."""

from uuid import UUID

from django.db import transaction

from accounts.errors import LastOwner, OwnerNeeded
from accounts.models import Membership, Tenant
from accounts.roles import Role
from millrace.kernel import outbox
from millrace.kernel.audit import Actor, record
from millrace.kernel.errors import Invalid, NotFound


def member_set_role(*, tenant_id: UUID, member_id: UUID, role: str, actor: Actor, by_owner: bool) -> Membership:
    """Give a member another role; the present one again changes nothing.

    `by_owner` says whether the actor is an owner: only owners make owners or change them. Raises LastOwner,
    OwnerNeeded, NotFound. Runs in the tenant's scope.
    """
    if role not in Role.values:
        raise Invalid(f"Choose from: {', '.join(Role.values)}.", field="role")
    with transaction.atomic():
        member = _locked(tenant_id, member_id)
        if member.role == role:
            return member
        if not by_owner and Role.OWNER in (member.role, role):
            raise OwnerNeeded()
        _keep_an_owner(member)
        before, member.role = member.role, role
        member.save(update_fields=["role"])
        record(actor=actor, action="member.set_role", target=member, tenant_id=tenant_id,
               data={"before": before, "after": role})  # fmt: skip
    return member


def member_remove(*, tenant_id: UUID, member_id: UUID, actor: Actor, by_owner: bool) -> None:
    """End a membership from the next request on; API keys stay, since they are the tenant's.

    Announces `member.left {user_id, role}`. Raises LastOwner, OwnerNeeded, NotFound. Runs in the tenant's scope.
    """
    with transaction.atomic():
        member = _locked(tenant_id, member_id)
        if member.role == Role.OWNER and not by_owner:
            raise OwnerNeeded()
        _keep_an_owner(member)
        payload = {"user_id": str(member.user_id), "role": member.role}
        record(actor=actor, action="member.remove", target=member, tenant_id=tenant_id, data=payload)
        outbox.announce("member.left", tenant_id=tenant_id, payload=payload)
        member.delete()


def _locked(tenant_id: UUID, member_id: UUID) -> Membership:
    Tenant.objects.select_for_update(no_key=True).get(pk=tenant_id)
    member = Membership.objects.select_related("user").filter(tenant_id=tenant_id, pk=member_id).first()
    if member is None:
        raise NotFound("There is no such member.")
    return member


def _keep_an_owner(member: Membership) -> None:
    if member.role != Role.OWNER:
        return
    others = Membership.objects.filter(tenant_id=member.tenant_id, role=Role.OWNER).exclude(pk=member.pk)
    if not others.exists():
        raise LastOwner("Make somebody else an owner first.")
