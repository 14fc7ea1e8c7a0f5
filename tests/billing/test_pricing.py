"""The arithmetic of prices: exact, monotone, the same however usage is split, rounded once a line."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing import pricing
from billing.pricing import Flat, Graduated, Package, PerUnit, Tier

prices = st.integers(0, 10**14).map(lambda n: Decimal(n).scaleb(-12))
quantities = st.integers(0, 10**12)
included = st.integers(0, 10**6)
shares = st.fractions(0, 1)
percents = st.integers(0, 99_999).map(lambda n: Decimal(n).scaleb(-3))


@st.composite
def graduated(draw: st.DrawFn) -> Graduated:
    bounds = sorted(draw(st.sets(st.integers(1, 10**9), max_size=4)))
    tiers = [Tier(bound, draw(prices)) for bound in [*bounds, None]]
    return Graduated("predictions", tiers, draw(included))


components = st.one_of(
    st.builds(PerUnit, st.just("predictions"), prices, included),
    graduated(),
    st.builds(Package, st.just("predictions"), st.integers(1, 10**6), prices, included),
)


@given(components, quantities, quantities)
def test_cost_never_falls_with_quantity(component: pricing.Metered, one: int, more: int) -> None:
    assert pricing.cost(component, one) <= pricing.cost(component, one + more)


@given(components, st.lists(quantities, min_size=1, max_size=8))
def test_splitting_usage_changes_nothing(component: pricing.Metered, parts: list[int]) -> None:
    position, summed = 0, Decimal(0)
    for part in parts:
        summed += pricing.cost(component, position + part) - pricing.cost(component, position)
        position += part

    assert summed == pricing.cost(component, sum(parts))


@given(graduated())
def test_a_tier_begins_exactly_behind_its_predecessors_bound(component: Graduated) -> None:
    for tier, following in zip(component.tiers, component.tiers[1:], strict=False):
        edge = tier.up_to + component.included
        at_edge = pricing.cost(component, edge) - pricing.cost(component, edge - 1)
        behind = pricing.cost(component, edge + 1) - pricing.cost(component, edge)

        assert (at_edge, behind) == (tier.unit_price, following.unit_price)


@given(components)
def test_the_included_quantity_is_free_and_not_one_unit_more(component: pricing.Metered) -> None:
    assert pricing.cost(component, component.included) == 0
    first = pricing.cost(component, component.included + 1)
    expected = {
        PerUnit: lambda: component.unit_price,
        Package: lambda: component.package_price,
        Graduated: lambda: component.tiers[0].unit_price,
    }[type(component)]()
    assert first == expected


@given(components, quantities, st.integers(0, 10**9), percents, shares)
def test_the_minimum_commitment_is_a_floor(
    component: pricing.Metered, quantity: int, minimum: int, percent: Decimal, share: Fraction
) -> None:
    usage = pricing.rate([component], {"predictions": quantity}, discount_percent=percent)
    lines = pricing.rate(
        [component], {"predictions": quantity}, minimum=minimum, discount_percent=percent, minimum_share=share
    )

    owed = pricing.half_up(Fraction(minimum) * share * (1 - Fraction(percent) / 100))
    assert sum(line.amount for line in lines) == max(sum(line.amount for line in usage), owed)
    assert [line.kind for line in lines].count("true_up") <= 1


@given(components, quantities, percents)
def test_a_line_is_rounded_once_half_up(component: pricing.Metered, quantity: int, percent: Decimal) -> None:
    lines = pricing.rate([component], {"predictions": quantity}, discount_percent=percent)

    exact = Fraction(pricing.cost(component, quantity)) * (1 - Fraction(percent) / 100)
    error = (lines[0].amount if lines else 0) - exact
    assert Fraction(-1, 2) < error <= Fraction(1, 2)


@given(components, quantities, quantities)
def test_a_quote_is_what_the_usage_will_add(component: pricing.Metered, already: int, more: int) -> None:
    exact = pricing.cost(component, already + more) - pricing.cost(component, already)

    assert abs(pricing.marginal(component, already, more) - Fraction(exact)) <= Fraction(1, 2)


@given(st.integers(0, 10**12), st.lists(st.integers(1, 10**6), min_size=1, max_size=6))
def test_m8_parts_of_an_interval_never_include_more_than_the_whole(quantity: int, weights: list[int]) -> None:
    whole = sum(weights)

    parts = [pricing.included_share(quantity, Fraction(weight, whole)) for weight in weights]

    assert sum(parts) <= quantity


@given(st.integers(0, 10**9), st.integers(0, 10**9), shares)
def test_m8_switching_plans_to_and_fro_never_makes_a_credit(low: int, high: int, remaining: Fraction) -> None:
    there = pricing.upgrade_charge(low, high, remaining)
    back = pricing.upgrade_charge(high, low, remaining)

    assert there >= 0
    assert back >= 0
    assert there + back >= pricing.prorate(max(low, high), remaining) - pricing.prorate(min(low, high), remaining)


def test_families_of_meters_share_one_curve() -> None:
    component = PerUnit("gpu_ms", Decimal("0.5"), included=10)

    lines = pricing.rate([component], {"gpu_ms:a100": 8, "gpu_ms:h100": 8})

    assert [(line.meter, line.amount) for line in lines] == [("gpu_ms:a100", 0), ("gpu_ms:h100", 3)]


def test_an_unpriced_meter_has_a_line_of_zero() -> None:
    (line,) = pricing.rate([], {"own:stamps": 7})

    assert (line.quantity, line.amount, line.detail) == (7, 0, {"priced": False})


def test_flat_amounts_and_shares() -> None:
    lines = pricing.rate([Flat("Support", 1001)], {}, share=Fraction(1, 2), minimum=2000, minimum_share=Fraction(1, 2))

    assert [(line.kind, line.amount) for line in lines] == [("flat", 501), ("true_up", 499)]


@pytest.mark.parametrize("value", ["0.5", "1.5", "-0.5", "2.4999999", "-2.5"])
def test_half_goes_away_from_zero(value: str) -> None:
    expected = {"0.5": 1, "1.5": 2, "-0.5": -1, "2.4999999": 2, "-2.5": -3}[value]

    assert pricing.half_up(Fraction(value)) == expected


@given(components, quantities, st.integers(0, 10**9), percents, shares)
def test_where_amounts_end_in_nought_each_line_is_rounded_to_tens_once(
    component: pricing.Metered, quantity: int, minimum: int, percent: Decimal, share: Fraction
) -> None:
    lines = pricing.rate(
        [component, Flat("Support", 1234)], {"predictions": quantity}, minimum=minimum, discount_percent=percent,
        share=share, step=10,
    )  # fmt: skip

    assert all(line.amount % 10 == 0 for line in lines)
    assert all(abs(line.amount - line.exact * (100 - percent) / 100) <= 5 for line in lines if line.kind != "true_up")


@pytest.mark.parametrize(("value", "expected"), [("4.99", 0), ("5", 10), ("15", 20), ("-5", -10), ("14.999", 10)])
def test_half_of_ten_goes_away_from_zero(value: str, expected: int) -> None:
    assert pricing.half_up(Fraction(value), 10) == expected


@pytest.mark.parametrize(
    "wrong",
    [
        [{"kind": "per_unit", "meter": "cpu_ms", "unit_price": "-1"}],
        [{"kind": "per_unit", "meter": "cpu_ms", "unit_price": "NaN"}],
        [{"kind": "per_unit", "meter": "cpu_ms", "unit_price": "0.0000000000001"}],
        [{"kind": "per_unit", "meter": "cpu_ms", "unit_price": "1", "included": -1}],
        [{"kind": "per_unit", "meter": "cpu_ms", "unit_price": "1"}] * 2,
        [{"kind": "package", "meter": "cpu_ms", "size": 0, "package_price": "1"}],
        [{"kind": "graduated", "meter": "cpu_ms", "tiers": []}],
        [{"kind": "graduated", "meter": "cpu_ms", "tiers": [{"up_to": 5, "unit_price": "1"}]}],
        [
            {
                "kind": "graduated",
                "meter": "cpu_ms",
                "tiers": [
                    {"up_to": 5, "unit_price": "1"},
                    {"up_to": 5, "unit_price": "1"},
                    {"up_to": None, "unit_price": "1"},
                ],
            }
        ],
        [{"kind": "magic"}],
        [{"kind": "flat", "name": "x", "amount": 1, "extra": 1}],
        "nonsense",
    ],
)
def test_senseless_components_are_refused(wrong: object) -> None:
    with pytest.raises(pricing.PricingInvalid):
        pricing.parse(wrong)
