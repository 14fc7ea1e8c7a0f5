"""Invitations: a role offered to an address. Single use, good for seven days, the role fixed when it is made; the
link works on any device. Only the token's hash is stored."""

import smtplib
from datetime import timedelta
from uuid import UUID

from allauth.account.models import EmailAddress
from django.conf import settings
from django.core.mail import send_mail
from django.db import transaction
from django.template.loader import render_to_string

from accounts import secrets
from accounts.errors import AlreadyMember, InvitationInvalid, MailUnavailable, OwnerNeeded
from accounts.models import Invitation, Membership, Tenant, TenantState, User
from accounts.roles import Role
from millrace.kernel import clock, outbox
from millrace.kernel.audit import Actor, record
from millrace.kernel.errors import Invalid
from millrace.kernel.tenancy import platform_scope

GOOD_FOR = timedelta(days=7)


def invitation_create(*, tenant: Tenant, email: str, role: str, actor: Actor, by_owner: bool) -> Invitation:
    """Invite an address and mail it the link. An open invitation to the same address is withdrawn.

    Only an owner invites owners. Raises AlreadyMember, OwnerNeeded, Invalid, and MailUnavailable, upon which nothing
    was changed. Runs in the tenant's scope.
    """
    if role not in Role.values:
        raise Invalid(f"Choose from: {', '.join(Role.values)}.", field="role")
    if role == Role.OWNER and not by_owner:
        raise OwnerNeeded(field="role")
    email, token, now = email.strip().lower(), secrets.new_token(), clock.now()
    with transaction.atomic():
        Tenant.objects.select_for_update(no_key=True).get(pk=tenant.pk)
        if Membership.objects.filter(tenant=tenant, user__email__iexact=email).exists():
            raise AlreadyMember(f"{email} belongs to the tenant already.", field="email")
        for waiting in Invitation.objects.filter(tenant=tenant, email=email, accepted_at=None, revoked_at=None):
            invitation_revoke(tenant_id=tenant.pk, invitation=waiting, actor=actor)
        invitation = Invitation.objects.create(
            tenant=tenant,
            email=email,
            role=role,
            token_hash=secrets.keyed_hash(token),
            invited_by=str(actor),
            expires_at=now + GOOD_FOR,
        )
        record(actor=actor, action="invitation.create", target=invitation, tenant_id=tenant.pk,
               data={"email": email, "role": role})  # fmt: skip
        _mail(invitation, tenant, token)  # last, so that a mail server's refusal undoes all of it
    return invitation


def invitation_accept(*, token: str, user: User, actor: Actor) -> Membership:
    """Join the tenant with the role that was offered. The same user again gets the same membership.

    The invitation is for its address: the user must have it (the token then proves it) or have it verified. Raises
    InvitationInvalid when it was used by another, withdrawn, has expired, or the tenant is closed. Announces
    `member.joined {user_id, role}`, and `user.verified` where the member is its tenant's first verified one.
    """
    with platform_scope(reason="whoever accepts is no member yet"), transaction.atomic():
        found = Invitation.objects.select_for_update(of=("self",)).select_related("tenant")
        invitation = found.filter(token_hash=secrets.keyed_hash(token)).first()
        if invitation is None or not _is_for(invitation, user):
            raise InvitationInvalid("There is no such invitation for you.")
        if invitation.accepted_at is not None:
            member = Membership.objects.filter(tenant_id=invitation.tenant_id, user=user).first()
            if member is None:
                raise InvitationInvalid("The invitation has been used.")
            return member
        _require_open(invitation)
        invitation.accepted_at = clock.now()
        invitation.save(update_fields=["accepted_at"])
        member, joined = Membership.objects.get_or_create(
            tenant_id=invitation.tenant_id, user=user, defaults={"role": invitation.role}
        )
        if joined:
            payload = {"user_id": str(user.pk), "role": member.role}
            outbox.announce("member.joined", tenant_id=member.tenant_id, payload=payload)
            _count_verified(member.tenant_id, user)
        record(actor=actor, action="invitation.accept", target=invitation, tenant_id=invitation.tenant_id,
               data={"role": member.role})  # fmt: skip
    return member


def invitation_revoke(*, tenant_id: UUID, invitation: Invitation, actor: Actor) -> Invitation:
    """Withdraw an invitation that nobody has accepted. Safe to repeat; an accepted one is InvitationInvalid."""
    with transaction.atomic():
        locked = Invitation.objects.select_for_update().get(tenant_id=tenant_id, pk=invitation.pk)
        if locked.accepted_at is not None:
            raise InvitationInvalid("The invitation has been accepted: remove the member instead.")
        if locked.revoked_at is None:
            locked.revoked_at = clock.now()
            locked.save(update_fields=["revoked_at"])
            record(actor=actor, action="invitation.revoke", target=locked, tenant_id=tenant_id)
    return locked


def _is_for(invitation: Invitation, user: User) -> bool:
    if user.email.lower() == invitation.email.lower():
        return True
    return EmailAddress.objects.filter(user=user, email__iexact=invitation.email, verified=True).exists()


def _require_open(invitation: Invitation) -> None:
    if invitation.revoked_at is not None:
        raise InvitationInvalid("The invitation was withdrawn.")
    if invitation.expires_at <= clock.now():
        raise InvitationInvalid("The invitation has expired. Ask for a new one.")
    if invitation.tenant.state == TenantState.CLOSED:
        raise InvitationInvalid("The organisation is closed.")


def _count_verified(tenant_id: UUID, user: User) -> None:
    if user.verified_at is None:
        return  # user_verify will
    first = Tenant.objects.filter(pk=tenant_id, verified_at__isnull=True).update(verified_at=clock.now())
    if first:
        outbox.announce("user.verified", tenant_id=tenant_id, payload={"user_id": str(user.pk)})


def _mail(invitation: Invitation, tenant: Tenant, token: str) -> None:
    values = {
        "tenant": tenant,
        "role": Role(invitation.role).label,
        "link": f"{settings.PUBLIC_BASE_URL}/invitations/{token}",
        "days": GOOD_FOR.days,
    }
    text = render_to_string("accounts/email/invitation.txt", values)
    try:
        send_mail(f"Join {tenant.name} on Millrace", text, None, [invitation.email])
    except (smtplib.SMTPException, OSError) as error:
        raise MailUnavailable("The invitation was not made: try again in a minute.") from error
