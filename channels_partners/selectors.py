"""This room's reads for partners, sign-up pages and the API. Growth reports are in `reports`."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar
from uuid import UUID

from django.db.models import Model, Q, QuerySet, Sum

from accounts.models import Tenant
from channels_partners.errors import NotAPartner
from channels_partners.models import (
    PAYABLE,
    Attribution,
    AttributionStatus,
    Click,
    Code,
    CommissionEntry,
    Deal,
    Link,
    Partner,
    PartnerKind,
    PartnerStatus,
    Precedence,
)
from millrace.kernel import clock
from millrace.kernel.errors import NotFound
from millrace.kernel.models import LedgerEntry
from millrace.kernel.tenancy import platform_scope

Row = TypeVar("Row", bound=Model)
_CLICKS_LOOKED_AT = 50


@dataclass(frozen=True, slots=True)
class Balance:
    """What a partner is owed in one currency, in minor units: `total` by the ledger, of it `held` until hold days are
    over, and the rest `available`."""

    currency: str
    total: int
    held: int

    @property
    def available(self) -> int:
        """What could be paid out now; negative when claw-backs outran what was earned."""
        return self.total - self.held


def partner_of(organisation_id: UUID, *, kind: str | None = None, to_write: bool = False) -> Partner:
    """The organisation's partner row; NotAPartner when it is not set up, not of that kind, or, to write, not active."""
    partner = Partner.objects.select_related("channel", "terms").filter(organisation_id=organisation_id).first()
    if partner is None or (kind and partner.kind != kind):
        raise NotAPartner("Ask for it to be set up.")
    if to_write and partner.status != PartnerStatus.ACTIVE:
        raise NotAPartner(f"The partnership is {partner.status}: you may read, and change nothing.")
    return partner


def reseller_of(organisation_id: UUID, *, to_write: bool = False) -> Partner:
    """The same, for resellers."""
    return partner_of(organisation_id, kind=PartnerKind.RESELLER, to_write=to_write)


def clicks_of(visitor_ids: Sequence[UUID], *, at: datetime) -> list[Click]:
    """The newest clicks of these visitors up to `at`, by links of channels and of active partners, newest first; those
    whose time to count is over, too."""
    working = Q(link__partner__isnull=True) | Q(link__partner__status=PartnerStatus.ACTIVE)
    clicks = Click.objects.filter(working, visitor__in=visitor_ids, at__lte=at)
    related = clicks.select_related("link__channel", "link__campaign", "link__partner__terms")
    return list(related.order_by("-at", "-id")[:_CLICKS_LOOKED_AT])


def partner_for_visitor(visitor_id: UUID | None, *, at: datetime | None = None) -> Partner | None:
    """Whose link would bring the visitor, were nothing else said: for the sign-up page's "you came through …"."""
    if visitor_id is None:
        return None
    at = at or clock.now()
    last = next((click for click in clicks_of([visitor_id], at=at) if click.until >= at), None)
    return last.link.partner if last else None


def partner_links(partner: Partner) -> QuerySet[Link]:
    """A partner's links, disabled ones too."""
    return Link.objects.filter(partner=partner).select_related("channel", "campaign")


def partner_link(partner: Partner, link_id: UUID) -> Link:
    """One of them; NotFound for anybody else's."""
    return _one(partner_links(partner), link_id)


def partner_codes(partner: Partner) -> QuerySet[Code]:
    """A partner's codes."""
    return Code.objects.filter(partner=partner).select_related("channel", "campaign")


def partner_code(partner: Partner, code_id: UUID) -> Code:
    """One of them; NotFound for anybody else's."""
    return _one(partner_codes(partner), code_id)


def partner_deals(partner: Partner) -> QuerySet[Deal]:
    """A partner's registered deals."""
    return Deal.objects.filter(partner=partner)


def partner_deal(partner: Partner, deal_id: UUID) -> Deal:
    """One of them; NotFound for anybody else's."""
    return _one(partner_deals(partner), deal_id)


def partner_commissions(partner: Partner) -> QuerySet[CommissionEntry]:
    """A partner's entries. Read in the platform's scope: the customers are other tenants."""
    return CommissionEntry.objects.filter(partner=partner).select_related("attribution__tenant", "attribution__partner")


def partner_referrals(partner: Partner) -> QuerySet[Attribution]:
    """The customers bound to a partner, those under review too. Read in the platform's scope."""
    found = Attribution.objects.filter(partner=partner).exclude(status=AttributionStatus.REJECTED)
    return found.select_related("tenant", "partner", "campaign", "link", "code")


def partner_balances(partner: Partner) -> list[Balance]:
    """What a partner is owed, by currency: the ledger's balance, and what of it is still held back."""
    with platform_scope(reason="a partner's balance is made of many customers' commissions"):
        owed = LedgerEntry.objects.filter(account=PAYABLE, partner_id=partner.pk).values("currency")
        totals = {row["currency"]: -row["total"] for row in owed.annotate(total=Sum("amount"))}
        waiting = CommissionEntry.objects.filter(partner=partner, releases_at__gt=clock.now()).values("currency")
        held = {row["currency"]: row["total"] for row in waiting.annotate(total=Sum("amount"))}
    return [Balance(currency, total, held.get(currency, 0)) for currency, total in sorted(totals.items())]


def attributions(*, status: str = "") -> QuerySet[Attribution]:
    """How customers came, of one status where given (`held` waits for a decision), in the platform's scope."""
    found = Attribution.objects.select_related("tenant", "partner", "channel")
    return found.filter(status=status) if status else found


def _one(rows: QuerySet[Row], key: UUID) -> Row:
    found = rows.filter(pk=key).first()
    if found is None:
        raise NotFound()
    return found


def visible_name(attribution: Attribution) -> str:
    """The customer's name as its partner may see it: affiliates, who never meet it, see its first letter only."""
    name = attribution.tenant.name
    partner = attribution.partner
    return f"{name[:1]}…" if partner and partner.kind == PartnerKind.AFFILIATE else name


def earned_by_referral(attributions: list[Attribution]) -> dict[UUID, dict[str, int]]:
    """The sum of commission of each attribution by currency, in minor units, in the platform's scope."""
    entries = CommissionEntry.objects.filter(attribution__in=attributions).values("attribution_id", "currency")
    earned: dict[UUID, dict[str, int]] = {}
    for row in entries.annotate(total=Sum("amount")).order_by():
        earned.setdefault(row["attribution_id"], {})[row["currency"]] = row["total"]
    return earned


def reseller_tenants(partner: Partner) -> QuerySet[Tenant]:
    """The customers that a reseller made, in the platform's scope."""
    mine = Attribution.objects.filter(partner=partner, precedence=Precedence.RESELLER)
    return Tenant.objects.filter(pk__in=mine.values("tenant_id"))


def reseller_tenant(partner: Partner, tenant_id: UUID) -> Tenant:
    """One of them, in the platform's scope; NotFound for anybody else's."""
    return _one(reseller_tenants(partner), tenant_id)
