"""This room's things as JSON."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from billing.models import Interval, InvoiceStatus, LineKind, SubscriptionStatus
from billing.selectors.usage import GROUPS
from millrace.api.fields import MoneyField, Serializer, TypeIdField
from millrace.kernel.money import EXPONENTS, Money


class AmountField(MoneyField):
    """An integer column of a row that has a `currency`, as money."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(read_only=True, **kwargs)

    def get_attribute(self, instance: Any) -> Money | None:
        """The amount with the row's currency."""
        amount = super().get_attribute(instance)
        return None if amount is None else Money(amount, instance.currency)


class PriceSerializer(Serializer):
    """A plan at its newest price."""

    id = TypeIdField("price", source="pk", read_only=True)
    plan = serializers.CharField(source="plan.code", read_only=True, help_text="What checkout takes.")
    name = serializers.CharField(source="plan.name", read_only=True)
    description = serializers.CharField(source="plan.description", read_only=True)
    version = serializers.IntegerField(read_only=True)
    recurring = AmountField(source="recurring_amount", help_text="The fixed fee, in advance.")
    interval = serializers.ChoiceField(Interval.choices, read_only=True)
    anchor_day = serializers.IntegerField(read_only=True, allow_null=True, help_text="The day on which all renew.")
    trial_days = serializers.IntegerField(read_only=True)
    minimum_commitment = AmountField(help_text="The least that a period's usage comes to.")
    components = serializers.JSONField(read_only=True, help_text="How usage is rated; unit prices in minor units.")
    features = serializers.JSONField(source="plan.features", read_only=True)
    limits = serializers.JSONField(source="plan.limits", read_only=True)
    quotas = serializers.JSONField(source="plan.quotas", read_only=True, help_text="Hard monthly quotas (free plan).")


class PlansQuerySerializer(Serializer):
    """Which catalogue."""

    currency = serializers.ChoiceField(sorted(EXPONENTS), required=False)


class PlansSerializer(Serializer):
    """What is for sale."""

    data = PriceSerializer(many=True, read_only=True)  # type: ignore[assignment]


class CheckoutSerializer(Serializer):
    """What to buy: a plan at its newest price, or one price."""

    plan = serializers.SlugField(max_length=40, required=False)
    price = TypeIdField("price", required=False)
    success_url = serializers.URLField(max_length=500, required=False)
    cancel_url = serializers.URLField(max_length=500, required=False)

    def validate(self, attrs: dict) -> dict:
        """Exactly one of plan and price."""
        if ("plan" in attrs) == ("price" in attrs):
            raise serializers.ValidationError({"plan": ["Name a plan or a price."]})
        return attrs


class CheckoutAnswerSerializer(Serializer):
    """Where to send the buyer."""

    id = serializers.CharField(read_only=True, help_text="Stripe's session.")
    url = serializers.URLField(read_only=True)
    price = TypeIdField("price", source="price.pk", read_only=True)


class PortalSessionSerializer(Serializer):
    """Where Stripe's billing portal returns to."""

    return_url = serializers.URLField(max_length=500, required=False)


class UrlSerializer(Serializer):
    """A page at Stripe."""

    url = serializers.URLField(read_only=True)


class SubscriptionSerializer(Serializer):
    """The tenant's subscription."""

    id = TypeIdField("sub", source="pk", read_only=True)
    status = serializers.ChoiceField(SubscriptionStatus.choices, read_only=True)
    plan = serializers.CharField(source="price_version.plan.code", read_only=True)
    price = TypeIdField("price", source="price_version_id", read_only=True)
    next_price = serializers.SerializerMethodField(help_text="What a downgrade changes to at `next_price_at`.")
    next_price_at = serializers.DateTimeField(read_only=True, allow_null=True)
    started_at = serializers.DateTimeField(read_only=True)
    trial_end = serializers.DateTimeField(read_only=True, allow_null=True)
    current_period_start = serializers.DateTimeField(read_only=True)
    current_period_end = serializers.DateTimeField(read_only=True)
    cancel_at_period_end = serializers.BooleanField(read_only=True)

    def get_next_price(self, row: Any) -> str | None:
        """The waiting price's id."""
        return row.next_price.public_id if row.next_price else None


class SubscriptionChangeSerializer(Serializer):
    """Another price (or plan, at its newest), or whether it ends with its period. `preview` changes nothing."""

    price = TypeIdField("price", required=False)
    plan = serializers.SlugField(max_length=40, required=False)
    cancel_at_period_end = serializers.BooleanField(required=False)
    preview = serializers.BooleanField(default=False)

    def validate(self, attrs: dict) -> dict:
        """Exactly one change at a time."""
        if len(attrs.keys() & {"price", "plan", "cancel_at_period_end"}) != 1:
            raise serializers.ValidationError(
                {"price": ["Name a price, a plan, or cancel_at_period_end: one of them."]}
            )
        if attrs["preview"] and "cancel_at_period_end" in attrs:
            raise serializers.ValidationError({"preview": ["Only a change of price has a preview."]})
        return attrs


class ChangePreviewSerializer(Serializer):
    """What a change would do."""

    price = TypeIdField("price", source="price.pk", read_only=True)
    plan = serializers.CharField(source="price.plan.code", read_only=True)
    effective_at = serializers.DateTimeField(read_only=True)
    charge = MoneyField(read_only=True, help_text="Added to the next invoice for the rest of this period.")
    next_fee = MoneyField(read_only=True, help_text="The fixed fee of each period from then on.")
    is_upgrade = serializers.BooleanField(read_only=True)


class SubscriptionAnswerSerializer(Serializer):
    """The subscription (null on the free plan) and, where a preview was asked for, what would change."""

    subscription = SubscriptionSerializer(read_only=True, allow_null=True)
    preview = ChangePreviewSerializer(read_only=True, allow_null=True)


class InvoiceSerializer(Serializer):
    """An invoice. subtotal − discount + tax = total."""

    id = TypeIdField("ivc", source="pk", read_only=True)
    number = serializers.CharField(read_only=True)
    status = serializers.ChoiceField(InvoiceStatus.choices, read_only=True)
    subtotal = AmountField()
    discount = AmountField()
    tax = AmountField()
    total = AmountField()
    amount_due = AmountField()
    amount_paid = AmountField()
    period_start = serializers.DateTimeField(read_only=True)
    period_end = serializers.DateTimeField(read_only=True)
    finalized_at = serializers.DateTimeField(read_only=True, allow_null=True)
    paid_at = serializers.DateTimeField(read_only=True, allow_null=True)
    hosted_url = serializers.CharField(read_only=True, help_text="Stripe's page of the invoice, to pay or print it.")


class InvoiceLineSerializer(Serializer):
    """One charge and how it was reached."""

    id = TypeIdField("ivl", source="pk", read_only=True)
    kind = serializers.ChoiceField(LineKind.choices, read_only=True)
    stream = serializers.CharField(read_only=True)
    meter = serializers.CharField(read_only=True)
    quantity = serializers.IntegerField(read_only=True)
    amount = AmountField()
    discount = AmountField()
    description = serializers.CharField(read_only=True)
    detail = serializers.JSONField(read_only=True, help_text="Prices, included quantity, share, rebate; exact amount.")
    period_start = serializers.DateTimeField(read_only=True)
    period_end = serializers.DateTimeField(read_only=True)


class UsageQuerySerializer(Serializer):
    """What to sum up. `from` is included, `to` is not; without them: the last 30 days."""

    to = serializers.DateTimeField(required=False)
    group_by = serializers.ChoiceField(GROUPS, default="meter")

    def get_fields(self) -> dict:
        """`from` is a word of Python's."""
        return {"from": serializers.DateTimeField(required=False)} | super().get_fields()


@extend_schema_field({"type": ["string", "null"]})
class _TypeIdOrNull(TypeIdField):
    """Of usage that belongs to none. `allow_null` would put it into rows that are not grouped by it."""


class UsageRowSerializer(Serializer):
    """The quantity of one meter, for one job, model or day where grouped by that (null for usage of none)."""

    # Not read_only: what is read only is required in the document.
    meter = serializers.CharField(read_only=True)
    job = _TypeIdOrNull("job", source="job_id", required=False)
    model = _TypeIdOrNull("mdl", source="model_id", required=False)
    day = serializers.DateField(required=False)
    quantity = serializers.IntegerField(source="total", read_only=True)
    billed = serializers.IntegerField(read_only=True, help_text="What of it stands on an invoice.")
    events = serializers.IntegerField(read_only=True)


class UsageSerializer(Serializer):
    """Sums of usage."""

    data = UsageRowSerializer(many=True, read_only=True)  # type: ignore[assignment]


class UsageEventSerializer(Serializer):
    """One quantity of one of the tenant's own meters."""

    meter = serializers.CharField(max_length=80, help_text="A meter of the tenant's own: own:<name>.")
    quantity = serializers.IntegerField(min_value=0, max_value=10**15)
    occurred_at = serializers.DateTimeField(help_text="With its zone; up to 35 days old, 5 minutes ahead.")
    idempotency_key = serializers.CharField(max_length=160, help_text="The same key again is a duplicate.")
    properties = serializers.DictField(required=False, allow_null=True)


class UsageEventsSerializer(Serializer):
    """A batch."""

    events = serializers.ListField(child=UsageEventSerializer(), min_length=1, max_length=1000)


class UsageEventAnswerSerializer(Serializer):
    """What became of one event. Refused ones name the code, the field and the reason; the others are stored."""

    index = serializers.IntegerField(read_only=True)
    status = serializers.ChoiceField(["accepted", "duplicate", "refused"], read_only=True)
    differs = serializers.BooleanField(
        required=False, help_text="A duplicate whose content is not the first one's: the first stands."
    )
    code = serializers.CharField(required=False)
    field = serializers.CharField(required=False)
    detail = serializers.CharField(required=False)


class UsageEventsAnswerSerializer(Serializer):
    """One answer an event, in order."""

    accepted = serializers.IntegerField(read_only=True)
    duplicates = serializers.IntegerField(read_only=True)
    refused = serializers.IntegerField(read_only=True)
    data = UsageEventAnswerSerializer(many=True, read_only=True)  # type: ignore[assignment]


class MeterSerializer(Serializer):
    """A meter of the tenant's own."""

    id = TypeIdField("meter", source="pk", read_only=True)
    name = serializers.RegexField(
        r"^(own:)?[a-z][a-z0-9_.-]{0,63}$", help_text="own:<name>; the prefix may be left out."
    )
    unit = serializers.CharField(max_length=40, required=False, allow_blank=True)


class QuotaSerializer(Serializer):
    """A hard monthly quota."""

    quota = serializers.IntegerField(read_only=True)
    used = serializers.IntegerField(read_only=True)
    reserved = serializers.IntegerField(read_only=True)


class EntitlementsSerializer(Serializer):
    """What the tenant may do, used and holds."""

    plan = serializers.CharField(read_only=True, allow_null=True)
    features = serializers.ListField(child=serializers.CharField(), read_only=True)
    limits = serializers.DictField(child=serializers.IntegerField(), read_only=True)
    quotas = serializers.DictField(child=QuotaSerializer(), read_only=True)
    period_start = serializers.DateTimeField(read_only=True)
    period_end = serializers.DateTimeField(read_only=True, allow_null=True)
    used = serializers.DictField(
        child=serializers.IntegerField(), read_only=True, help_text="Not billed yet, by meter."
    )
    spend = MoneyField(read_only=True, help_text="What that comes to.")
    reserved = MoneyField(read_only=True, help_text="Held for work under way.")
    spend_limit = MoneyField(read_only=True, allow_null=True)


class SpendLimitSerializer(Serializer):
    """The most that usage may come to in a billing period; null lifts the limit."""

    limit = MoneyField(allow_null=True)
