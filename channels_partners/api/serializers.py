"""This room's things as JSON."""

from typing import Any

from django.conf import settings
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from accounts.models import TenantState
from channels_partners.models import (
    AttributionStatus,
    EntryKind,
    PartnerKind,
    PartnerStatus,
    Precedence,
)
from channels_partners.selectors import visible_name
from millrace.api.fields import MoneyField, Serializer, TypeIdField
from millrace.kernel.money import Money


class BalanceSerializer(Serializer):
    """What a partner is owed in one currency."""

    currency = serializers.CharField()
    total = serializers.IntegerField(help_text="Minor units, by the ledger.")
    held = serializers.IntegerField(help_text="Of it, held back until its hold days are over.")
    available = serializers.IntegerField(help_text="The rest.")


class TermsSerializer(Serializer):
    """A version of commission terms."""

    id = TypeIdField("trm", source="pk")
    slug = serializers.CharField()
    version = serializers.IntegerField()
    kind = serializers.CharField()
    rate = serializers.DecimalField(max_digits=7, decimal_places=6, help_text="A share: 0.2 is 20 %.")
    flat = serializers.DictField(child=serializers.IntegerField(), help_text="Minor units by currency.")
    duration = serializers.CharField()
    months = serializers.IntegerField(allow_null=True)
    cap = serializers.DictField(child=serializers.IntegerField(), allow_null=True)
    hold_days = serializers.IntegerField()


class PartnerRowSerializer(Serializer):
    """A partner, with its terms of today."""

    id = TypeIdField("ptr", source="pk")
    organisation = TypeIdField("ten", source="organisation_id")
    name = serializers.CharField()
    kind = serializers.ChoiceField(PartnerKind.choices)
    status = serializers.ChoiceField(PartnerStatus.choices)
    channel = serializers.CharField(source="channel.slug")
    discount_percent = serializers.DecimalField(max_digits=5, decimal_places=2)
    terms = TermsSerializer(allow_null=True)


class PartnerSerializer(PartnerRowSerializer):
    """The same, with its balances."""

    balances = serializers.SerializerMethodField()

    @extend_schema_field(BalanceSerializer(many=True))
    def get_balances(self, partner: Any) -> list[dict]:
        """By currency."""
        return [BalanceSerializer(balance).data for balance in self.context["balances"]]


class LinkSerializer(Serializer):
    """A link."""

    id = TypeIdField("lnk", source="pk")
    code = serializers.CharField()
    url = serializers.SerializerMethodField()
    name = serializers.CharField()
    destination = serializers.CharField()
    channel = serializers.CharField(source="channel.slug")
    campaign = serializers.CharField(source="campaign.slug", allow_null=True)
    created_at = serializers.DateTimeField()
    disabled_at = serializers.DateTimeField(allow_null=True)

    def get_url(self, link: Any) -> str:
        """The address to hand out."""
        return f"{settings.PUBLIC_BASE_URL}/r/{link.code}"


class LinkRequestSerializer(Serializer):
    """A wished-for link."""

    code = serializers.CharField(max_length=40, required=False, help_text="Made up where none is given.")
    name = serializers.CharField(max_length=120, required=False, allow_blank=True)
    destination = serializers.CharField(max_length=300, required=False, help_text="A path of this site.")
    campaign = serializers.SlugField(max_length=60, required=False)


class CodeSerializer(Serializer):
    """A coupon or partner code."""

    id = TypeIdField("cpn", source="pk")
    code = serializers.CharField()
    channel = serializers.CharField(source="channel.slug")
    campaign = serializers.CharField(source="campaign.slug", allow_null=True)
    created_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField(allow_null=True)
    disabled_at = serializers.DateTimeField(allow_null=True)


class CodeRequestSerializer(Serializer):
    """A wished-for code."""

    code = serializers.CharField(max_length=40)
    expires_at = serializers.DateTimeField(required=False, allow_null=True)
    campaign = serializers.SlugField(max_length=60, required=False)


class DealSerializer(Serializer):
    """A registered deal."""

    id = TypeIdField("deal", source="pk")
    company = serializers.CharField()
    domain = serializers.CharField()
    email = serializers.CharField(allow_blank=True)
    created_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField()
    withdrawn_at = serializers.DateTimeField(allow_null=True)


class DealRequestSerializer(Serializer):
    """A deal to register: by the company's mail domain, or by one person's address."""

    company = serializers.CharField(max_length=120)
    domain = serializers.CharField(max_length=253, required=False)
    email = serializers.EmailField(required=False)


class ReferralSerializer(Serializer):
    """A customer, as far as the partner that brought it may see."""

    id = TypeIdField("att", source="pk")
    name = serializers.SerializerMethodField()
    came_by = serializers.ChoiceField(Precedence.choices, source="precedence")
    came_at = serializers.DateTimeField(source="bound_at")
    status = serializers.ChoiceField(AttributionStatus.choices)
    verified = serializers.SerializerMethodField()
    paying = serializers.SerializerMethodField()
    commission = serializers.SerializerMethodField()

    def get_name(self, attribution: Any) -> str:
        """The customer's name; masked for affiliates."""
        return visible_name(attribution)

    def get_verified(self, attribution: Any) -> bool:
        """Whether one of its people has verified an address."""
        return attribution.tenant.verified_at is not None

    def get_paying(self, attribution: Any) -> bool:
        """Whether it paid in the last 30 days."""
        return attribution.tenant_id in self.context["paying"]

    @extend_schema_field(serializers.ListField(child=MoneyField()))
    def get_commission(self, attribution: Any) -> list[dict]:
        """What it has earned the partner so far, by currency."""
        earned = self.context["earned"].get(attribution.pk, {})
        return [Money(amount, currency).as_json() for currency, amount in sorted(earned.items())]


class CommissionSerializer(Serializer):
    """One movement of commission."""

    id = TypeIdField("cme", source="pk")
    kind = serializers.ChoiceField(EntryKind.choices)
    referral = TypeIdField("att", source="attribution_id")
    customer = serializers.SerializerMethodField()
    base = serializers.SerializerMethodField()
    amount = serializers.SerializerMethodField()
    occurred_at = serializers.DateTimeField()
    releases_at = serializers.DateTimeField()

    def get_customer(self, entry: Any) -> str:
        """The customer's name; masked for affiliates."""
        return visible_name(entry.attribution)

    @extend_schema_field(MoneyField())
    def get_base(self, entry: Any) -> dict:
        """The part of the line that it stands on."""
        return Money(entry.base_amount, entry.currency).as_json()

    @extend_schema_field(MoneyField())
    def get_amount(self, entry: Any) -> dict:
        """Positive accrued, negative clawed back."""
        return Money(entry.amount, entry.currency).as_json()


class EarningSerializer(Serializer):
    """What a period earned a partner in one currency, in minor units."""

    currency = serializers.CharField()
    accrued = serializers.IntegerField()
    clawed_back = serializers.IntegerField()


class PartnerReportSerializer(Serializer):
    """A partner's funnel of a period."""

    definitions = serializers.CharField()
    start = serializers.DateTimeField()
    end = serializers.DateTimeField()
    clicks = serializers.IntegerField()
    signups = serializers.IntegerField()
    verified = serializers.IntegerField()
    trial = serializers.IntegerField()
    first_job = serializers.IntegerField()
    paying = serializers.IntegerField()
    trial_conversion = serializers.DecimalField(max_digits=9, decimal_places=6, allow_null=True)
    earnings = EarningSerializer(many=True)


class ResellerTenantSerializer(Serializer):
    """A reseller's customer."""

    id = TypeIdField("ten", source="pk")
    name = serializers.CharField()
    state = serializers.ChoiceField(TenantState.choices)
    verified_at = serializers.DateTimeField(allow_null=True)
    created_at = serializers.DateTimeField()


class ResellerTenantRequestSerializer(Serializer):
    """A customer to create; with an address, its owner is invited."""

    name = serializers.CharField(max_length=120)
    owner_email = serializers.EmailField(required=False)


class CustomerSpendLimitSerializer(Serializer):
    """The most that a customer's usage may come to in a billing period; null for no limit."""

    limit = MoneyField(allow_null=True)


class SurveyRequestSerializer(Serializer):
    """An answer to "how satisfied are you?"."""

    score = serializers.IntegerField(min_value=1, max_value=5)
    comment = serializers.CharField(max_length=1000, required=False, allow_blank=True)


class NpsRequestSerializer(Serializer):
    """An answer to "would you recommend us?"."""

    score = serializers.IntegerField(min_value=0, max_value=10)
    comment = serializers.CharField(max_length=1000, required=False, allow_blank=True)


class SurveySerializer(Serializer):
    """A stored answer."""

    id = TypeIdField("svy", source="pk")
    kind = serializers.CharField()
    score = serializers.IntegerField()
    month = serializers.DateField()
    answered_at = serializers.DateTimeField()
