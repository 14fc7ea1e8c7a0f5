"""Serializer fields that the whole API shares."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from millrace.kernel import ids
from millrace.kernel.errors import NotFound
from millrace.kernel.money import EXPONENTS, Money

LARGEST_INTEGER = 2**63 - 1


@extend_schema_field({"type": "string", "examples": ["job_01h455vb4pex5vsknk084sn02q"]})
class TypeIdField(serializers.Field):
    """A TypeID of one kind; inside it is a UUID. Written with `source` pointing at a UUID attribute."""

    def __init__(self, prefix: str, **kwargs: Any) -> None:
        self.prefix = prefix
        super().__init__(**kwargs)

    def to_representation(self, value: Any) -> str:
        """The public spelling."""
        return ids.typeid(self.prefix, value)

    def to_internal_value(self, data: Any) -> Any:
        """The UUID; a text of another kind is an invalid value here."""
        try:
            return ids.parse(self.prefix, data)
        except NotFound as error:
            raise serializers.ValidationError(f"This is no {self.prefix}_… identifier.") from error


@extend_schema_field(
    {
        "type": "object",
        "properties": {"amount": {"type": "integer"}, "currency": {"type": "string", "minLength": 3, "maxLength": 3}},
        "required": ["amount", "currency"],
    }
)
class MoneyField(serializers.Field):
    """`{"amount": minor units, "currency": "CNY"}` ↔ Money."""

    def to_representation(self, value: Money) -> dict:
        """The API's spelling."""
        return value.as_json()

    def to_internal_value(self, data: Any) -> Money:
        """Money; anything but a whole, storable amount in a known currency is refused."""
        if not isinstance(data, dict) or set(data) != {"amount", "currency"}:
            raise serializers.ValidationError('Money is {"amount": minor units, "currency": "CNY"}.')
        amount, currency = data["amount"], data["currency"]
        if type(amount) is not int or abs(amount) > LARGEST_INTEGER:
            raise serializers.ValidationError("amount is a whole number of minor units.")
        if not isinstance(currency, str) or currency not in EXPONENTS:
            raise serializers.ValidationError(
                f"{str(currency)[:16]!r} is not a known currency.", code="currency_unknown"
            )
        return Money(amount, currency)


class Serializer(serializers.Serializer):
    """Refuses fields that it does not know: a misspelt one would otherwise be ignored in silence."""

    def to_internal_value(self, data: Any) -> Any:
        """DRF's values, after the unknown names are refused."""
        if isinstance(data, dict) and not hasattr(data, "lists"):
            unknown = sorted(set(data) - set(self.fields))
            if unknown:
                raise serializers.ValidationError({unknown[0][:64]: ["There is no such field."]})
        return super().to_internal_value(data)
