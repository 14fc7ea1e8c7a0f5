"""What this room listens to."""

from collections import defaultdict
from datetime import datetime
from typing import Any
from uuid import UUID

from allauth.account.signals import user_signed_up
from allauth.socialaccount.models import SocialLogin
from allauth.socialaccount.signals import pre_social_login
from django.dispatch import receiver
from django.http import HttpRequest

from accounts.models import TenantKind
from accounts.sign_on import came_of, proven_address
from channels_partners.models import SettlementKind
from channels_partners.services.attributions import attribution_bind
from channels_partners.services.clicks import visitor_identify
from channels_partners.services.commissions import commission_settle, settled_customers
from millrace.kernel import visitors
from millrace.kernel.audit import Actor
from millrace.kernel.outbox import Event, subscribe

_ATTRIBUTION = Actor.system("attribution")


@subscribe("tenant.created", consumer="channels_partners.attribution")
def on_tenant_created(event: Event) -> None:
    """A customer signed up: bind how it came. Partners' own organisations have no attribution."""
    news = event.payload
    if news.get("kind") != TenantKind.CUSTOMER:
        return
    attribution_bind(
        tenant_id=UUID(news["tenant_id"]),
        email=news.get("email") or "",
        user_id=_uuid(news.get("owner_id")),
        visitor_id=_uuid(news.get("visitor_id")),
        coupon=str(news.get("coupon") or ""),
        reseller_partner_id=_uuid(news.get("reseller_partner_id")),
        at=event.occurred_at,
        actor=_ATTRIBUTION,
    )


@receiver(user_signed_up, dispatch_uid="channels_partners.user_signed_up")
def on_user_signed_up(
    request: HttpRequest, user: Any, sociallogin: SocialLogin | None = None, **_: object
) -> None:  # fmt: skip
    """Somebody gave an address in a browser whose clicks we know: whichever device they go on from, they keep them.

    OAuth and magic-link sign-ups pass here too, and their tenant may be founded later, elsewhere (C4).
    """
    _identify(request, sociallogin, user.email)


@receiver(pre_social_login, dispatch_uid="channels_partners.pre_social_login")
def on_pre_social_login(request: HttpRequest, sociallogin: SocialLogin, **_: object) -> None:
    """A provider vouched for a stranger's address, and the form is still to come: it may be sent from another browser,
    or after this one has lost its cookies (C4)."""
    address = proven_address(sociallogin)
    if address and not sociallogin.is_existing:
        _identify(request, sociallogin, address)


def _identify(request: HttpRequest, sociallogin: SocialLogin | None, email: str) -> None:
    visitor_id = visitors.visitor_id_of(request.COOKIES) or _uuid(came_of(sociallogin).get("visitor_id"))
    if visitor_id is not None:
        visitor_identify(visitor_id=visitor_id, email=email)


@subscribe("invoice.paid", consumer="channels_partners.commission")
def on_invoice_paid(event: Event) -> None:
    """Money came in: accrue on each commissionable line, for each customer on the invoice."""
    news = event.payload
    by_customer: dict[UUID, list[dict]] = defaultdict(list)
    for line in news["lines"]:
        customer = _uuid(line.get("tenant_id")) or event.tenant_id
        if customer is not None:
            by_customer[customer].append(
                {
                    "line_id": UUID(line["line_id"]),
                    "amount": line["amount"],
                    "currency": news["currency"],
                    "stream": line.get("stream", ""),
                    "commissionable": line["commissionable"],
                }
            )
    invoice_id = UUID(news["invoice_id"])
    for customer, lines in by_customer.items():
        commission_settle(
            tenant_id=customer,
            kind=SettlementKind.PAID,
            source_id=invoice_id,
            invoice_id=invoice_id,
            lines=lines,
            at=datetime.fromisoformat(news["paid_at"]),
        )


@subscribe("invoice.refunded", consumer="channels_partners.claw_back")
def on_invoice_refunded(event: Event) -> None:
    """Money went back: claw back in proportion."""
    _money_went_back(event, SettlementKind.REFUNDED, "refund_id")


@subscribe("invoice.dispute_lost", consumer="channels_partners.dispute")
def on_dispute_lost(event: Event) -> None:
    """A dispute was lost: the same as a refund (C1)."""
    _money_went_back(event, SettlementKind.DISPUTE_LOST, "dispute_id")


@subscribe("invoice.refund_failed", consumer="channels_partners.reinstate")
def on_refund_failed(event: Event) -> None:
    """The bank sent a refund back: what it clawed back is owed again."""
    _money_went_back(event, SettlementKind.REFUND_FAILED, "refund_id")


@subscribe("invoice.dispute_won", consumer="channels_partners.appeal")
def on_dispute_won(event: Event) -> None:
    """A dispute that was lost is won on appeal: the same as a refund that the bank sent back."""
    _money_went_back(event, SettlementKind.REFUND_FAILED, "dispute_id")


def _money_went_back(event: Event, kind: str, source_name: str) -> None:
    """Take in what went back (or failed to) of the lines that were settled; where the payment's news is still on its
    way, keep it for that."""
    news = event.payload
    source_id, invoice_id = UUID(news[source_name]), UUID(news["invoice_id"])
    known = settled_customers(invoice_id, [UUID(line["line_id"]) for line in news["lines"]])
    by_customer: dict[UUID, list[dict]] = defaultdict(list)
    for line in news["lines"]:
        line_id = UUID(line["line_id"])
        customer, currency, stream = known.get(line_id) or (
            _uuid(line.get("tenant_id")) or event.tenant_id, news.get("currency", ""), line.get("stream", ""),
        )  # fmt: skip
        if customer is not None:
            by_customer[customer].append(
                {"line_id": line_id, "amount": abs(line["amount"]), "currency": currency, "stream": stream,
                 "commissionable": True}
            )  # fmt: skip
    for customer, lines in by_customer.items():
        at = datetime.fromisoformat(news["at"])
        commission_settle(tenant_id=customer, kind=kind, source_id=source_id, invoice_id=invoice_id, lines=lines, at=at)


def _uuid(text: object) -> UUID | None:
    """An id from another room's news; None where there is none, or where it came from outside and is no id."""
    try:
        return UUID(str(text)) if text else None
    except ValueError:
        return None
