"""Taking a partner on: its organisation, its first person, and its terms, in one go."""

from decimal import Decimal

from django.db import transaction

from accounts.models import Tenant, TenantKind, User
from accounts.roles import Role
from accounts.services.invitations import invitation_create
from accounts.services.tenants import tenant_create
from channels_partners.models import Channel, Partner, TermsVersion
from channels_partners.services.partners import partner_create
from millrace.kernel.audit import Actor
from millrace.kernel.tenancy import tenant_scope


def partner_enrol(
    *,
    name: str,
    kind: str,
    channel: Channel,
    actor: Actor,
    owner_email: str,
    terms: TermsVersion | None = None,
    discount_percent: Decimal = Decimal(0),
) -> Partner:
    """Found a partner's organisation and set it up. A known, verified user becomes its owner; anybody else is invited."""
    with transaction.atomic():
        owner = User.objects.filter(email__iexact=owner_email, verified_at__isnull=False).first()
        organisation: Tenant = tenant_create(name=name, owner=owner, actor=actor, kind=TenantKind.PARTNER)
        partner = partner_create(
            organisation=organisation,
            kind=kind,
            channel=channel,
            name=name,
            terms=terms,
            discount_percent=discount_percent,
            actor=actor,
        )
        if owner is None:
            with tenant_scope(organisation.pk):
                invitation_create(tenant=organisation, email=owner_email, role=Role.OWNER, actor=actor, by_owner=True)
    return partner
