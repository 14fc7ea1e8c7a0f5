"""Channels, campaigns and what is spent on them."""

from datetime import date

from django.db import transaction

from channels_partners.errors import CodeTaken
from channels_partners.models import Campaign, Channel, ChannelKind, ChannelSpend
from millrace.kernel.audit import Actor, record
from millrace.kernel.errors import Invalid
from millrace.kernel.money import Money
from millrace.kernel.tenancy import platform_scope

DIRECT = "direct"


def channel_ensure(*, slug: str, name: str, kind: str, actor: Actor) -> Channel:
    """The channel with this slug, made if there is none. Safe to repeat; CodeTaken when it exists as another kind."""
    if kind not in ChannelKind.values:
        raise Invalid(f"A channel's kind is one of: {', '.join(ChannelKind.values)}.", field="kind")
    with platform_scope(reason="channels are the platform's"), transaction.atomic():
        channel, created = Channel.objects.get_or_create(slug=slug, defaults={"name": name, "kind": kind})
        if channel.kind != kind:
            raise CodeTaken(f"The channel {slug!r} is of kind {channel.kind}.", field="slug")
        if created:
            record(actor=actor, action="channel.create", target=channel, data={"slug": slug, "kind": kind})
    return channel


def channel_direct() -> Channel:
    """The channel of those whom nobody brought."""
    return Channel.objects.get_or_create(slug=DIRECT, defaults={"name": "Direct", "kind": ChannelKind.DIRECT})[0]


def campaign_create(
    *, channel: Channel, slug: str, name: str, actor: Actor, click_window_days: int | None = None
) -> Campaign:
    """A new campaign on a channel; CodeTaken when the slug is in use."""
    with platform_scope(reason="campaigns are the platform's"), transaction.atomic():
        campaign, created = Campaign.objects.get_or_create(
            slug=slug, defaults={"channel": channel, "name": name, "click_window_days": click_window_days}
        )
        if not created:
            raise CodeTaken(f"There is a campaign {slug!r}.", field="slug")
        record(actor=actor, action="campaign.create", target=campaign, data={"slug": slug, "channel": channel.slug})
    return campaign


def spend_record(
    *, channel: Channel, spent: Money, spent_on: date, actor: Actor, campaign: Campaign | None = None, note: str = ""
) -> ChannelSpend:
    """Record money spent on a channel; negative to correct. Reports count it in the month of `spent_on`."""
    with platform_scope(reason="spend is the platform's"), transaction.atomic():
        spend = ChannelSpend.objects.create(
            channel=channel,
            campaign=campaign,
            amount=spent.amount,
            currency=spent.currency,
            spent_on=spent_on,
            note=note,
            recorded_by=str(actor),
        )
        record(actor=actor, action="channel.spend", target=spend, data=spent.as_json())
    return spend
