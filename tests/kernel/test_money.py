"""Money: whole minor units, one rounding, and splits that sum to what was split."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millrace.kernel.money import EXPONENTS, Money, UnknownCurrency, allocate, round_minor, to_minor

amounts = st.integers(-(10**15), 10**15)
weights = st.lists(st.integers(0, 10**9), min_size=1, max_size=30)


@given(amounts, weights)
def test_the_parts_sum_to_the_whole(amount: int, shares: list[int]) -> None:
    assert sum(allocate(amount, shares)) == amount


@given(amounts, weights)
def test_each_part_is_within_one_unit_of_its_exact_share(amount: int, shares: list[int]) -> None:
    total = sum(shares)
    if total == 0:
        return

    for part, weight in zip(allocate(amount, shares), shares, strict=True):
        assert abs(part - Fraction(amount * weight, total)) < 1


@given(amounts, weights)
def test_a_refund_is_split_as_the_payment_was(amount: int, shares: list[int]) -> None:
    assert allocate(-amount, shares) == [-part for part in allocate(amount, shares)]


@given(st.integers(0, 10**12), weights)
def test_nobody_with_weight_zero_gets_anything_where_others_have_some(amount: int, shares: list[int]) -> None:
    parts = allocate(amount, shares)

    if any(shares):
        assert all(part == 0 for part, weight in zip(parts, shares, strict=True) if weight == 0)


def test_the_largest_remainder_gets_the_last_unit_and_ties_go_to_the_earlier() -> None:
    assert allocate(100, [1, 1, 1]) == [34, 33, 33]
    assert allocate(10, [1, 2, 4]) == [1, 3, 6]
    assert allocate(5, [0, 0]) == [5, 0]
    assert allocate(0, []) == []


@pytest.mark.parametrize(("amount", "shares"), [(1, []), (1, [-1, 2])])
def test_a_split_that_makes_no_sense_is_refused(amount: int, shares: list[int]) -> None:
    with pytest.raises(ValueError, match=r"Weights|nobody"):
        allocate(amount, shares)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("0.5", 1),
        ("-0.5", -1),
        ("1.4999999", 1),
        ("2.5", 3),
        ("-2.5", -3),
        ("0.49", 0),
        ("123456789012.5", 123456789013),
    ],
)
def test_halves_are_rounded_away_from_zero(value: str, expected: int) -> None:
    assert round_minor(Decimal(value)) == expected


@pytest.mark.parametrize(
    ("value", "currency", "expected"),
    [
        ("12.34", "CNY", 1234),
        ("12.345", "CNY", 1235),
        ("12", "JPY", 12),
        ("1.0005", "KWD", 1001),
        ("-0.005", "USD", -1),
    ],
)
def test_each_currency_has_its_own_minor_unit(value: str, currency: str, expected: int) -> None:
    assert to_minor(Decimal(value), currency) == expected


@given(amounts, amounts, st.sampled_from(sorted(EXPONENTS)))
def test_adding_and_taking_away_undo_each_other(one: int, other: int, currency: str) -> None:
    first, second = Money(one, currency), Money(other, currency)

    assert first + second - second == first
    assert Money(-one, currency) == -first


@pytest.mark.parametrize("amount", [1.0, True, "1", None, Decimal(1)])
def test_money_is_never_anything_but_whole_units(amount: object) -> None:
    with pytest.raises(TypeError):
        Money(amount, "CNY")  # type: ignore[arg-type]


def test_currencies_do_not_mix_and_unknown_ones_do_not_exist() -> None:
    with pytest.raises(ValueError, match="do not add up"):
        Money(1, "CNY") + Money(1, "USD")
    with pytest.raises(UnknownCurrency):
        Money(1, "XXX")


def test_money_reads_as_people_write_it() -> None:
    assert str(Money(123456, "CNY")) == "CNY 1,234.56"
    assert str(Money(-5, "USD")) == "USD -0.05"
    assert str(Money(1500, "JPY")) == "JPY 1,500"
