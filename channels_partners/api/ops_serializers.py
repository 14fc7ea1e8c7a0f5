"""What staff send and see: channels, partners, terms, attributions under review."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from channels_partners.models import (
    AttributionStatus,
    ChannelKind,
    PartnerKind,
    PartnerStatus,
    Precedence,
    TermsDuration,
    TermsKind,
)
from channels_partners.services.attributions import DECISIONS
from millrace.api.fields import MoneyField, Serializer, TypeIdField
from millrace.kernel import visitors
from millrace.kernel.money import Money


class ChannelSerializer(Serializer):
    """A channel."""

    id = TypeIdField("chn", source="pk", read_only=True)
    slug = serializers.SlugField(max_length=40)
    name = serializers.CharField(max_length=80)
    kind = serializers.ChoiceField(ChannelKind.choices)


class CampaignSerializer(Serializer):
    """A campaign."""

    id = TypeIdField("cmp", source="pk")
    slug = serializers.SlugField()
    name = serializers.CharField()
    channel = serializers.CharField(source="channel.slug")
    click_window_days = serializers.IntegerField(allow_null=True)


class CampaignRequestSerializer(Serializer):
    """A wished-for campaign."""

    slug = serializers.SlugField(max_length=60)
    name = serializers.CharField(max_length=120)
    channel = serializers.SlugField(max_length=40)
    click_window_days = serializers.IntegerField(  # no longer than the visitor's cookie lasts
        min_value=0, max_value=visitors.MAX_AGE_DAYS, required=False, allow_null=True
    )


class SpendSerializer(Serializer):
    """Money spent on a channel."""

    id = TypeIdField("spn", source="pk")
    channel = serializers.CharField(source="channel.slug")
    campaign = serializers.CharField(source="campaign.slug", allow_null=True)
    spent = serializers.SerializerMethodField()
    spent_on = serializers.DateField()
    note = serializers.CharField()

    @extend_schema_field(MoneyField())
    def get_spent(self, spend: Any) -> dict:
        """Minor units and currency."""
        return Money(spend.amount, spend.currency).as_json()


class SpendRequestSerializer(Serializer):
    """Spend to record; negative to correct."""

    channel = serializers.SlugField(max_length=40)
    campaign = serializers.SlugField(max_length=60, required=False)
    spent = MoneyField()
    spent_on = serializers.DateField()
    note = serializers.CharField(max_length=200, required=False, allow_blank=True)


class ChannelLinkRequestSerializer(Serializer):
    """A wished-for link of a channel's own."""

    channel = serializers.SlugField(max_length=40)
    campaign = serializers.SlugField(max_length=60, required=False)
    code = serializers.CharField(max_length=40, required=False)
    name = serializers.CharField(max_length=120, required=False, allow_blank=True)
    destination = serializers.CharField(max_length=300, required=False)


class ChannelCodeRequestSerializer(Serializer):
    """A wished-for code of a channel's own."""

    channel = serializers.SlugField(max_length=40)
    campaign = serializers.SlugField(max_length=60, required=False)
    code = serializers.CharField(max_length=40)
    expires_at = serializers.DateTimeField(required=False, allow_null=True)


def _amounts(**kwargs: Any) -> serializers.DictField:
    """Minor units by currency."""
    child = serializers.IntegerField(min_value=1, max_value=2**53)
    return serializers.DictField(child=child, required=False, **kwargs)


class TermsRequestSerializer(Serializer):
    """The next version of commission terms."""

    slug = serializers.SlugField(max_length=60)
    kind = serializers.ChoiceField(TermsKind.choices)
    rate = serializers.DecimalField(max_digits=7, decimal_places=6, min_value=0, max_value=1, required=False)
    flat = _amounts()
    duration = serializers.ChoiceField(TermsDuration.choices, required=False)
    months = serializers.IntegerField(min_value=1, max_value=1200, required=False, allow_null=True)
    cap = _amounts(allow_null=True)
    hold_days = serializers.IntegerField(min_value=0, max_value=365, required=False)


class PartnerRequestSerializer(Serializer):
    """A partner to take on."""

    name = serializers.CharField(max_length=120)
    kind = serializers.ChoiceField(PartnerKind.choices)
    channel = serializers.SlugField(max_length=40)
    owner_email = serializers.EmailField()
    terms = TypeIdField("trm", required=False)
    discount_percent = serializers.DecimalField(
        max_digits=5, decimal_places=2, min_value=0, max_value=99, required=False
    )


class PartnerChangeSerializer(Serializer):
    """What may change of a partner, for the future."""

    name = serializers.CharField(max_length=120, required=False)
    status = serializers.ChoiceField(PartnerStatus.choices, required=False)
    terms = TypeIdField("trm", required=False)
    discount_percent = serializers.DecimalField(
        max_digits=5, decimal_places=2, min_value=0, max_value=99, required=False
    )


class AttributionSerializer(Serializer):
    """How a customer came, with its evidence."""

    id = TypeIdField("att", source="pk")
    tenant = TypeIdField("ten", source="tenant_id")
    tenant_name = serializers.CharField(source="tenant.name")
    channel = serializers.CharField(source="channel.slug")
    partner = TypeIdField("ptr", source="partner_id", allow_null=True)
    partner_name = serializers.SerializerMethodField()
    precedence = serializers.ChoiceField(Precedence.choices)
    status = serializers.ChoiceField(AttributionStatus.choices)
    held_reasons = serializers.ListField(child=serializers.CharField())
    evidence = serializers.DictField()
    terms = serializers.DictField(source="terms_snapshot", allow_null=True)
    bound_at = serializers.DateTimeField()
    reviewed_at = serializers.DateTimeField(allow_null=True)
    reviewed_by = serializers.CharField()

    def get_partner_name(self, attribution: Any) -> str | None:
        """The partner's name."""
        return attribution.partner.name if attribution.partner else None


class ReviewSerializer(Serializer):
    """A decision on a held attribution."""

    decision = serializers.ChoiceField(sorted(DECISIONS))
