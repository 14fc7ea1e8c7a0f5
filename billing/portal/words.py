"""Prices in the words of the people who pay them: an hour of GPU time instead of a millisecond's fraction of a fen."""

from dataclasses import dataclass
from decimal import Decimal

from billing import pricing
from billing.models import PriceVersion
from billing.selectors.spending import components_of
from millrace.kernel.money import exponent
from millrace.portal import meters

_FEATURES = {
    "train": "Training", "predict": "Predictions", "tune": "Parameter search", "compress": "Compression",
    "batch_predict": "Batch predictions", "gpu": "GPU machines", "own_meters": "Meters of your own",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class PriceWords:
    """One meter's price: `steps` are (from which quantity on, the price of `per`)."""

    meter: str
    label: str
    per: str
    included: str
    steps: tuple[tuple[str, str], ...]


def feature_label(feature: str) -> str:
    """What a feature flag opens."""
    return _FEATURES.get(feature, feature.replace("_", " ").capitalize())


def price_words(price: PriceVersion) -> list[PriceWords]:
    """Every metered price of a version."""
    return [
        _metered(component, price.currency)
        for component in components_of(price)
        if not isinstance(component, pricing.Flat)
    ]


def quantity_words(meter: str, quantity: int) -> str:
    """`1 hour` of 3,600,000 ms; `10,000` of a count."""
    family = meter.partition(":")[0]
    if family.endswith("_ms"):
        minutes = Decimal(quantity) / 60_000
        if minutes < 60:
            return f"{minutes.normalize():f} minutes"
        return "1 hour" if minutes == 60 else f"{(minutes / 60).normalize():,f} hours"
    if family == "storage_byte_hours":
        return f"{Decimal(quantity) / meters.GB_MONTH:,.1f} GB"
    return f"{quantity:,}"


def _metered(component: pricing.Metered, currency: str) -> PriceWords:
    words = meters.words_of(component.meter)
    factor, per = (words.priced_for, words.per) if words else (1, "unit")
    included = quantity_words(component.meter, component.included) if component.included else ""
    if isinstance(component, pricing.PerUnit):
        steps: tuple[tuple[str, str], ...] = (("", _told(component.unit_price * factor, currency)),)
    elif isinstance(component, pricing.Package):
        per = f"{component.size:,}"
        steps = (("", _told(component.package_price, currency)),)
    else:
        floors = [0, *[tier.up_to or 0 for tier in component.tiers[:-1]]]
        steps = tuple(
            (f"beyond {floor:,}" if floor else "", _told(tier.unit_price * factor, currency))
            for floor, tier in zip(floors, component.tiers, strict=True)
        )
    return PriceWords(component.meter, meters.label(component.meter), per, included, steps)


def _told(minor: Decimal, currency: str) -> str:
    """The price in major units, with the places that it needs: two at least (of CNY), six at most."""
    major = round(minor.scaleb(-exponent(currency)), 6)
    places = max(exponent(currency), -int(major.normalize().as_tuple().exponent))
    return f"{currency} {major:,.{places}f}"
