"""Makers of partners, their customers and the news that billing announces."""

from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

from accounts.models import Tenant, User
from channels_partners.models import Attribution, Channel, CommissionEntry, Link, Partner, TermsVersion
from channels_partners.services.channels import channel_ensure
from channels_partners.services.links import link_create
from channels_partners.services.partners import partner_create, terms_publish
from millrace.kernel import clock, outbox
from millrace.kernel.tenancy import platform_scope
from tests.factories import SYSTEM, ApiClient, api_client, make_member, make_tenant, make_user


def make_channel(slug: str = "agents", kind: str = "agent") -> Channel:
    """A channel; the same one for the same slug."""
    return channel_ensure(slug=slug, name=slug.title(), kind=kind, actor=SYSTEM)


def make_terms(**terms: Any) -> TermsVersion:
    """20 % for ever with 30 hold days, unless told otherwise."""
    wanted = {"slug": "agents", "kind": "percent", "rate": Decimal("0.2"), "hold_days": 30} | terms
    return terms_publish(actor=SYSTEM, **wanted)


def make_partner(name: str = "Sensor Partners", *, kind: str = "agent", **fields: Any) -> Partner:
    """An active partner with one member, at a mail domain of its own."""
    organisation = make_tenant(name=name, kind="partner")
    make_member(organisation, fields.pop("email", f"boss@{uuid4().hex[:8]}.test"), "owner")
    terms = fields.pop("terms", None) or (make_terms() if kind != "reseller" else None)
    channel = fields.pop("channel", None) or make_channel(*(["resellers", "reseller"] if kind == "reseller" else []))
    return partner_create(
        organisation=organisation, kind=kind, channel=channel, terms=terms, name=name, actor=SYSTEM, **fields
    )


def make_link(partner: Partner | None = None, **fields: Any) -> Link:
    """A link of a partner, or of a channel."""
    channel = fields.pop("channel", None) or (partner.channel if partner else make_channel("social", "social"))
    return link_create(channel=channel, partner=partner, actor=SYSTEM, **fields)


def door(partner: Partner, scope: str = "partner") -> ApiClient:
    """A client at a partner's doors, with a key of this scope."""
    with platform_scope(reason="test"):
        return api_client(Tenant.objects.get(pk=partner.organisation_id), [scope])


def sign_up(email: str = "", name: str = "Acme", **context: Any) -> Attribution:
    """A customer that signed up with this context, with what attribution made of it."""
    owner: User = make_user(email or f"{uuid4().hex[:8]}@{uuid4().hex[:8]}.test")
    tenant: Tenant = make_tenant(name=name, owner=owner, **context)
    outbox.drain()
    return attribution_of(tenant.pk)


def attribution_of(tenant_id: UUID) -> Attribution:
    """The tenant's attribution."""
    with platform_scope(reason="look"):
        return Attribution.objects.select_related("tenant", "partner", "channel", "terms").get(tenant_id=tenant_id)


def pay(tenant_id: UUID, *amounts: int, **news: Any) -> dict:
    """Announce a paid invoice with a commissionable line of each amount, and deliver the news. Answers the news."""
    paid_at: datetime = news.pop("paid_at", None) or clock.now()
    payload = {
        "invoice_id": str(news.pop("invoice_id", uuid4())),
        "tenant_id": str(tenant_id),
        "billing_account_id": str(uuid4()),
        "currency": "CNY",
        "total": sum(amounts),
        "tax": 0,
        "paid_at": paid_at.isoformat(),
        "lines": [
            {
                "line_id": str(uuid4()), "tenant_id": str(tenant_id), "stream": "usage", "amount": amount,
                "commissionable": True,
            }
            for amount in amounts
        ],
    } | news  # fmt: skip
    announce("invoice.paid", tenant_id, payload)
    return payload


def refund(invoice: dict, *amounts: int, topic: str = "invoice.refunded", at: datetime | None = None) -> dict:
    """Announce a refund (or a lost dispute) of these amounts of the invoice's lines, and deliver the news."""
    source = "dispute_id" if topic == "invoice.dispute_lost" else "refund_id"
    payload = {
        source: str(uuid4()),
        "invoice_id": invoice["invoice_id"],
        "tenant_id": invoice["tenant_id"],
        "currency": invoice["currency"],
        "amount": sum(amounts),
        "at": (at or clock.now()).isoformat(),
        "lines": [
            {"line_id": line["line_id"], "amount": amount, "tenant_id": line["tenant_id"]}
            for line, amount in zip(invoice["lines"], amounts, strict=False)
            if amount
        ],
    }
    announce(topic, UUID(invoice["tenant_id"]), payload)
    return payload


def announce(topic: str, tenant_id: UUID, payload: dict) -> None:
    """Billing's news, delivered."""
    with platform_scope(reason="billing"):
        outbox.announce(topic, tenant_id=tenant_id, payload=payload)
    outbox.drain()


def amounts_of(attribution: Attribution) -> list[int]:
    """The amounts of the customer's commission entries, in the order they were written."""
    with platform_scope(reason="look"):
        found = CommissionEntry.objects.filter(attribution=attribution)
        return list(found.order_by("id").values_list("amount", flat=True))
