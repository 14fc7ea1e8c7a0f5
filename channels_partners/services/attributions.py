"""Binding a new customer to how it came, once; and reviewing what looks wrong."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.db.models import Q

from accounts.models import Membership
from channels_partners import attribution as rules
from channels_partners.attribution import Candidate
from channels_partners.commission import Terms
from channels_partners.errors import NotHeld
from channels_partners.models import (
    Attribution,
    AttributionStatus,
    Campaign,
    Channel,
    Click,
    Code,
    Deal,
    Link,
    Partner,
    PartnerStatus,
    Precedence,
    TermsVersion,
    Visitor,
)
from channels_partners.selectors import clicks_of
from channels_partners.services.channels import channel_direct
from channels_partners.services.clicks import email_hash, visitor_identify
from channels_partners.services.commissions import commission_catch_up
from millrace.kernel import clock
from millrace.kernel.audit import Actor, record
from millrace.kernel.errors import Invalid
from millrace.kernel.tenancy import platform_scope

_WORKING = Q(partner__isnull=True) | Q(partner__status=PartnerStatus.ACTIVE)
DECISIONS = {"approve": AttributionStatus.BOUND, "reject": AttributionStatus.REJECTED}


Evidence = Partner | Deal | Code | Click


@dataclass(frozen=True, slots=True)
class Winner:
    """What the winning evidence names."""

    channel: Channel | None = None
    partner: Partner | None = None
    campaign: Campaign | None = None
    link: Link | None = None
    click: Click | None = None
    code: Code | None = None
    deal: Deal | None = None


def attribution_bind(
    *,
    tenant_id: UUID,
    email: str,
    user_id: UUID | None,
    visitor_id: UUID | None,
    coupon: str,
    reseller_partner_id: UUID | None,
    at: datetime,
    actor: Actor,
) -> Attribution:
    """Bind the tenant that signed up at `at` to its channel and partner, with the terms of that day. Safe to repeat:
    the first binding stands.

    Works from what the server has stored, never from a session: the clicks of the visitor's cookie at sign-up, and
    those of any other device on which the same address was given. Self-referrals are held for a person to look at.
    """
    with platform_scope(reason="attribution looks across tenants"), transaction.atomic():
        bound = Attribution.objects.filter(tenant_id=tenant_id).first()
        if bound is not None:
            return bound
        if visitor_id is not None and email:
            visitor_identify(visitor_id=visitor_id, email=email)
        found = _evidence(email, visitor_id, coupon, reseller_partner_id, at)
        chosen = rules.choose([candidate for candidate, _ in found], at=at)
        winner = _winner_of(next((row for candidate, row in found if candidate == chosen), None))
        partner = winner.partner
        reasons = _reasons_to_hold(partner, email, user_id) if chosen is not None else []
        terms = partner.terms if partner else None
        made = Attribution.objects.create(
            tenant_id=tenant_id,
            channel=winner.channel or channel_direct(),
            partner=partner,
            campaign=winner.campaign,
            link=winner.link,
            click=winner.click,
            code=winner.code,
            deal=winner.deal,
            precedence=chosen.kind if chosen else Precedence.DIRECT,
            evidence=_evidence_as_json(found, visitor_id, coupon, email),
            terms=terms,
            terms_snapshot=terms_of(terms).as_json() if terms else None,
            status=AttributionStatus.HELD if reasons else AttributionStatus.BOUND,
            held_reasons=reasons,
            bound_at=at,
        )
        data = {"precedence": made.precedence, "status": made.status, "channel": made.channel.slug}
        # Not in the customer's own log: it would tell who refers itself that, and by what, it was found out.
        record(actor=actor, action="attribution.bind", target=made, data=data)
    return made


def attribution_review(*, attribution: Attribution, decision: str, actor: Actor) -> Attribution:
    """Decide on a held attribution: `approve` (it earns, from its first invoice on) or `reject`. NotHeld otherwise."""
    if decision not in DECISIONS:
        raise Invalid(f"A decision is one of: {', '.join(DECISIONS)}.", field="decision")
    with platform_scope(reason="attributions are the platform's to review"), transaction.atomic():
        locked = Attribution.objects.select_for_update(of=("self",)).get(pk=attribution.pk)
        if locked.status != AttributionStatus.HELD:
            raise NotHeld(f"It is {locked.status}.")
        locked.status, locked.reviewed_at, locked.reviewed_by = DECISIONS[decision], clock.now(), str(actor)
        locked.save(update_fields=["status", "reviewed_at", "reviewed_by"])
        record(
            actor=actor, action=f"attribution.{decision}", target=locked, data={"reasons": locked.held_reasons},
        )  # fmt: skip
        commission_catch_up(attribution=locked)
    return locked


def terms_of(version: TermsVersion) -> Terms:
    """A stored version of terms, for the pure arithmetic."""
    return Terms(
        kind=version.kind,
        rate=version.rate,
        flat=version.flat,
        duration=version.duration,
        months=version.months,
        cap=version.cap,
        hold_days=version.hold_days,
    )


def _evidence(
    email: str, visitor_id: UUID | None, coupon: str, reseller_partner_id: UUID | None, at: datetime
) -> list[tuple[Candidate, Evidence]]:
    """Everything that speaks for somebody, newest click first, with the row that it stands for."""
    found: list[tuple[Candidate, Evidence]] = []
    if reseller_partner_id is not None:
        partner = Partner.objects.filter(pk=reseller_partner_id).first()
        if partner is not None:
            found.append((Candidate("reseller", partner.pk, at), partner))
    domain = rules.domain_of(email)
    if domain:
        mine = Q(email=email.strip().lower()) | (Q(email="") if domain not in rules.PUBLIC_MAIL_DOMAINS else Q())
        deals = Deal.objects.filter(mine, _until("withdrawn_at", at), domain=domain)
        for deal in deals.filter(partner__status=PartnerStatus.ACTIVE).select_related("partner__terms"):
            found.append((Candidate("deal", deal.pk, deal.created_at, deal.expires_at), deal))
    if coupon.strip():
        codes = Code.objects.filter(_WORKING, _until("disabled_at", at), code=coupon.strip().upper())
        for code in codes.select_related("channel", "campaign", "partner__terms"):
            found.append((Candidate("coupon", code.pk, code.created_at, code.expires_at), code))
    for click in _clicks(email, visitor_id, at):
        found.append((Candidate("click", click.pk, click.at, click.until), click))
    return found


def _until(column: str, at: datetime) -> Q:
    """What had not ended at the sign-up; the news of it may be late, and what ended since was good then."""
    return Q(**{f"{column}__isnull": True}) | Q(**{f"{column}__gt": at})


def _clicks(email: str, visitor_id: UUID | None, at: datetime) -> list[Click]:
    whose = Q(pk=visitor_id) if visitor_id else Q(pk__in=[])
    if email:
        whose |= Q(email_hash=email_hash(email))
    return clicks_of(list(Visitor.objects.filter(whose).values_list("pk", flat=True)), at=at)


def _winner_of(row: Evidence | None) -> Winner:
    """Whom the winning row speaks for; nobody, for none."""
    if isinstance(row, Partner):
        return Winner(row.channel, row)
    if isinstance(row, Deal):
        return Winner(row.partner.channel, row.partner, deal=row)
    if isinstance(row, Code):
        return Winner(row.channel, row.partner, row.campaign, code=row)
    if isinstance(row, Click):
        return Winner(row.link.channel, row.link.partner, row.link.campaign, link=row.link, click=row)
    return Winner()


def _reasons_to_hold(partner: Partner | None, email: str, user_id: UUID | None) -> list[str]:
    if partner is None:
        return []
    members = Membership.objects.filter(tenant_id=partner.organisation_id).values_list("user_id", "user__email")
    return rules.self_referral_reasons(email=email, user_id=user_id, members=list(members))


def _evidence_as_json(
    found: list[tuple[Candidate, Evidence]], visitor_id: UUID | None, coupon: str, email: str
) -> dict:
    """What was known at sign-up, the losers too; no address, only its domain."""
    return {
        "visitor_id": str(visitor_id) if visitor_id else None,
        "coupon": coupon.strip().upper()[:40],
        "mail_domain": rules.domain_of(email),
        "candidates": [
            {"kind": one.kind, "id": row.public_id, "at": one.at.isoformat(),
             "until": one.until.isoformat() if one.until else None}
            for one, row in found[:20]
        ],
    }  # fmt: skip
