"""What usage costs: pure arithmetic, no ORM, no float.

Unit prices are decimals of minor units (fen, cents) with up to 12 places; an amount is exact until the line it stands
on is rounded, once, half away from zero. A price is a curve over quantity, so the cost of going from one point of it
to another is a difference: however usage is split, the exact parts sum to the exact whole.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_FLOOR, Context, Decimal, localcontext
from fractions import Fraction
from typing import Any

import msgspec

PLACES = 12
# Enough digits that no product of a 15-digit quantity and a 12-place price is ever rounded on the way.
_EXACT = Context(prec=60)


class PricingInvalid(ValueError):
    """The components of a price make no sense; nothing was rated."""


class Tier(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Units up to `up_to` (counted from the start of the period; None: all further ones) cost `unit_price` each."""

    up_to: int | None
    unit_price: Decimal


class Flat(msgspec.Struct, frozen=True, tag="flat", tag_field="kind", forbid_unknown_fields=True):
    """A fixed amount in arrears each period, whatever was used."""

    name: str
    amount: int


class PerUnit(msgspec.Struct, frozen=True, tag="per_unit", tag_field="kind", forbid_unknown_fields=True):
    """Every unit beyond `included` costs the same."""

    meter: str
    unit_price: Decimal
    included: int = 0


class Graduated(msgspec.Struct, frozen=True, tag="graduated", tag_field="kind", forbid_unknown_fields=True):
    """Each unit costs what its tier says; `included` units come before the first tier."""

    meter: str
    tiers: list[Tier]
    included: int = 0


class Package(msgspec.Struct, frozen=True, tag="package", tag_field="kind", forbid_unknown_fields=True):
    """Units are sold in packages of `size`; a package that is begun is paid."""

    meter: str
    size: int
    package_price: Decimal
    included: int = 0


Metered = PerUnit | Graduated | Package
Component = Flat | PerUnit | Graduated | Package


@dataclass(frozen=True, slots=True)
class RatedLine:
    """One line: `amount` in minor units is `exact` less the rebate, rounded once."""

    kind: str  # usage, flat or true_up
    meter: str
    quantity: int
    exact: Decimal
    amount: int
    detail: dict = field(default_factory=dict)


def parse(components: Any) -> list[Component]:
    """Components from JSON values; PricingInvalid says what is wrong with them."""
    try:
        parsed = msgspec.convert(components, type=list[Component], strict=True)
    except msgspec.ValidationError as error:
        raise PricingInvalid(str(error)) from error
    seen: set[str] = set()
    for component in parsed:
        _check(component)
        if not isinstance(component, Flat):
            if component.meter in seen:
                raise PricingInvalid(f"{component.meter} is priced twice.")
            seen.add(component.meter)
    return parsed


def _check(component: Component) -> None:
    prices: list[Decimal] = []
    if isinstance(component, Flat):
        prices.append(Decimal(component.amount))
    elif isinstance(component, PerUnit):
        prices.append(component.unit_price)
    elif isinstance(component, Package):
        prices.append(component.package_price)
        if component.size < 1:
            raise PricingInvalid("A package holds at least one unit.")
    else:
        bounds = [tier.up_to for tier in component.tiers]
        if not bounds or bounds[-1] is not None or None in bounds[:-1]:
            raise PricingInvalid("The last tier, and only the last, has no upper bound.")
        finite = [bound for bound in bounds[:-1] if bound is not None]
        if any(low >= high for low, high in zip([0, *finite], finite, strict=False)):
            raise PricingInvalid("The bounds of tiers rise.")
        prices += [tier.unit_price for tier in component.tiers]
    for price in prices:
        exponent = price.as_tuple().exponent
        if not price.is_finite() or price < 0 or not isinstance(exponent, int) or -exponent > PLACES:
            raise PricingInvalid(f"{price} is no price: prices are not negative and have up to {PLACES} places.")
        if price >= 10**12:
            raise PricingInvalid(f"{price} is beyond any price.")
    if not isinstance(component, Flat) and not 0 <= component.included <= 10**15:
        raise PricingInvalid("The included quantity is not negative.")


def component_for(components: Sequence[Component], meter: str) -> Metered | None:
    """The component that prices `meter`: its own, or its family's (`gpu_ms` for `gpu_ms:a100`, `own:` for any own)."""
    metered = [component for component in components if not isinstance(component, Flat)]
    family = meter.partition(":")[0]
    for wanted in (meter, family, f"{family}:*"):
        for component in metered:
            if component.meter == wanted:
                return component
    return None


def cost(component: Metered, quantity: int, *, included: int | None = None) -> Decimal:
    """The exact cost of the first `quantity` units of a period, in minor units."""
    if quantity < 0:
        raise PricingInvalid("A quantity is not negative.")
    billable = max(0, quantity - (component.included if included is None else included))
    with localcontext(_EXACT):
        if isinstance(component, PerUnit):
            return component.unit_price * billable
        if isinstance(component, Package):
            return component.package_price * -(-billable // component.size)
        total, floor = Decimal(0), 0
        for tier in component.tiers:
            ceiling = billable if tier.up_to is None else min(billable, tier.up_to)
            if ceiling > floor:
                total += tier.unit_price * (ceiling - floor)
                floor = ceiling
        return total


def unit_price(component: Metered) -> Decimal:
    """The list price of one more unit at its dearest, included quantity aside: what a worst case is reckoned with."""
    if isinstance(component, PerUnit):
        return component.unit_price
    if isinstance(component, Package):
        with localcontext(_EXACT):
            return component.package_price / component.size
    return max(tier.unit_price for tier in component.tiers)


def rate(
    components: Sequence[Component],
    quantities: Mapping[str, int],
    *,
    minimum: int = 0,
    discount_percent: Decimal = Decimal(0),
    share: Fraction = Fraction(1),
    minimum_share: Fraction = Fraction(1),
    step: int = 1,
) -> list[RatedLine]:
    """The lines for one period's quantities by meter.

    `share` is the part of a whole interval that the period covers: included quantities and flat amounts shrink with
    it, so that switching plans earns nothing twice (M8). `minimum`, after the rebate and `minimum_share`, is the least
    that the lines sum to; a true-up line makes up the difference. A meter without a price has a line of zero. Amounts
    are multiples of `step` minor units (kernel.money.step).
    """
    keep = 1 - Fraction(discount_percent) / 100
    lines = [_flat(component, share, keep, step) for component in components if isinstance(component, Flat)]
    used: dict[str, int] = {}
    for meter in sorted(meter for meter, quantity in quantities.items() if quantity):
        component = component_for(components, meter)
        start = used.get(component.meter, 0) if component else 0
        lines.append(_metered(component, meter, start, quantities[meter], share, keep, step))
        if component:
            used[component.meter] = start + quantities[meter]
    owed = half_up(Fraction(minimum) * minimum_share * keep, step)
    total = sum(line.amount for line in lines)
    if total < owed:
        detail = {"minimum": owed, "rated": total}
        lines.append(RatedLine("true_up", "", 0, Decimal(owed - total), owed - total, detail))
    return lines


def marginal(
    component: Metered | None, already: int, quantity: int, *, discount_percent: Decimal = Decimal(0), step: int = 1
) -> int:
    """What `quantity` more units cost after `already` of the period, in minor units."""
    if component is None:
        return 0
    exact = cost(component, already + quantity) - cost(component, already)
    return half_up(Fraction(exact) * (1 - Fraction(discount_percent) / 100), step)


def included_share(included: int, share: Fraction) -> int:
    """The included quantity of a part of an interval, rounded down: parts never sum to more than the whole."""
    return int(included * share)


def prorate(amount: int, share: Fraction, step: int = 1) -> int:
    """The part of a fixed amount that a part of an interval owes, rounded half up."""
    return half_up(Fraction(amount) * share, step)


def upgrade_charge(current: int, wanted: int, remaining: Fraction, step: int = 1) -> int:
    """What a change of the fixed fee in mid-period costs now: the difference for what remains, and never a credit (M8)."""
    return max(0, prorate(wanted, remaining, step) - prorate(current, remaining, step))


def half_up(value: Fraction, step: int = 1) -> int:
    """Round to a whole multiple of `step` minor units, half away from zero."""
    doubled = abs(value) * 2 + step
    whole = doubled.numerator // (doubled.denominator * 2 * step) * step
    return whole if value >= 0 else -whole


def _flat(component: Flat, share: Fraction, keep: Fraction, step: int) -> RatedLine:
    exact = Fraction(component.amount) * share
    detail = {"name": component.name, "list_amount": component.amount} | _terms(share, keep)
    return RatedLine("flat", "", 0, _decimal(exact), half_up(exact * keep, step), detail)


def _metered(
    component: Metered | None, meter: str, start: int, quantity: int, share: Fraction, keep: Fraction, step: int
) -> RatedLine:
    if component is None:
        return RatedLine("usage", meter, quantity, Decimal(0), 0, {"priced": False})
    included = included_share(component.included, share)
    exact = cost(component, start + quantity, included=included) - cost(component, start, included=included)
    detail: dict[str, Any] = {"price": msgspec.to_builtins(component), "included": included, "exact": f"{exact:f}"}
    if start:
        detail["counted_before"] = start
    amount = half_up(Fraction(exact) * keep, step)
    return RatedLine("usage", meter, quantity, exact, amount, detail | _terms(share, keep))


def _terms(share: Fraction, keep: Fraction) -> dict:
    terms: dict[str, str] = {}
    if share != 1:
        terms["share"] = str(share)
    if keep != 1:
        terms["discount_percent"] = f"{_decimal((1 - keep) * 100).normalize():f}"
    return terms


def _decimal(value: Fraction) -> Decimal:
    with localcontext(_EXACT):
        exact = Decimal(value.numerator) / Decimal(value.denominator)
        return exact.quantize(Decimal(1).scaleb(-PLACES), rounding=ROUND_FLOOR)
