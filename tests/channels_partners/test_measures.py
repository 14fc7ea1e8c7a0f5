"""TERMS' formulas, each with its case."""

from datetime import date
from decimal import Decimal
from fractions import Fraction
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels_partners import measures


def test_paying_ratio_of_the_case_is_30_percent() -> None:
    assert measures.paying_ratio(300, 1000) == Fraction(3, 10)
    assert measures.as_decimal(measures.paying_ratio(300, 1000)) == Decimal("0.300000")
    assert measures.paying_ratio(0, 0) is None


def test_cohort_ratio_counts_those_who_paid_within_the_days() -> None:
    waits = [0.5, 7.0, 7.1, 29.0, None]

    assert [measures.cohort_paying_ratio(waits, days) for days in (7, 30, 90)] == [
        Fraction(2, 5), Fraction(4, 5), Fraction(4, 5),
    ]  # fmt: skip
    assert measures.cohort_paying_ratio([], 7) is None


def test_trial_conversion() -> None:
    assert measures.trial_conversion(40, 10) == Fraction(1, 4)


@pytest.mark.parametrize(
    ("amount", "interval", "count", "rebate", "mrr"),
    [
        (9900, "month", 1, "0", 9900),
        (120000, "year", 1, "0", 10000),
        (100, "year", 1, "0", 8),
        (240000, "year", 2, "0", 10000),
        (9900, "month", 1, "33.333", 6600),
    ],
)
def test_c9_mrr_of_a_year_is_a_twelfth_however_many_are_paid_ahead(
    amount: int, interval: str, count: int, rebate: str, mrr: int
) -> None:
    assert measures.monthly(amount, interval, count, Decimal(rebate)) == mrr


def test_the_bridge_names_every_movement() -> None:
    stays, grows, shrinks, leaves, comes, returns = (uuid4() for _ in range(6))
    start = {stays: 10, grows: 10, shrinks: 10, leaves: 10}
    end = {stays: 10, grows: 15, shrinks: 7, comes: 20, returns: 5}

    bridge = measures.mrr_bridge(start, end, seen_before=[*start, returns])

    assert bridge == measures.Bridge(40, new=20, reactivation=5, expansion=5, contraction=3, churn=10, end=57)
    assert measures.gross_revenue_retention(bridge) == 1 - Fraction(13, 40)
    assert measures.net_revenue_retention(bridge) == Fraction(32, 40)


customers = [uuid4() for _ in range(6)]
books = st.dictionaries(st.sampled_from(customers), st.integers(1, 10**9))


@given(start=books, end=books, seen=st.lists(st.sampled_from(customers)))
def test_the_bridge_sums_exactly(start: dict, end: dict, seen: list) -> None:
    b = measures.mrr_bridge(start, end, seen)

    assert b.start + b.new + b.reactivation + b.expansion - b.contraction - b.churn == b.end


def test_ltv_of_100_at_5_percent_is_2000_and_none_at_zero_churn() -> None:
    assert measures.ltv(Fraction(100), Fraction(5, 100)) == 2000
    assert measures.ltv(measures.arpa(1000, 10), measures.logo_churn(1, 20)) == 2000
    assert measures.ltv(Fraction(100), Fraction(0)) is None
    assert measures.ltv(Fraction(100), None) is None


def test_average_churn_takes_the_last_six_months_that_had_customers() -> None:
    months = [Fraction(1), None, *[Fraction(1, 10)] * 4, Fraction(2, 10)]

    assert measures.average_churn(months) == Fraction(6, 50)
    assert measures.average_churn([None]) is None


def test_channel_revenue_net_and_cac() -> None:
    revenue = measures.channel_revenue(settled=1000, refunds=100, disputes_lost=50)

    assert revenue == 850
    assert measures.channel_net(revenue, accrued=200, clawed_back=30) == 680
    assert measures.cac(commission=170, spend=830, new_paying=4) == 250
    assert measures.cac(170, 830, 0) is None


def test_csat_of_the_case_is_90_percent() -> None:
    assert measures.csat({5: 60, 4: 30, 3: 5, 1: 5}) == Fraction(9, 10)
    assert measures.csat({}) is None


def test_nps_is_in_points() -> None:
    assert measures.nps({10: 5, 9: 1, 8: 2, 6: 1, 0: 1}) == 40
    assert measures.nps({0: 3}) == -100
    assert measures.nps({}) is None


def test_retention_counts_each_tenant_once_a_month_since_its_cohort() -> None:
    a, b, stranger = uuid4(), uuid4(), uuid4()
    signed_up = {a: date(2026, 1, 31), b: date(2026, 1, 1)}
    active = [(a, date(2026, 1, 1)), (a, date(2026, 1, 1)), (b, date(2026, 3, 5)), (a, date(2026, 3, 1)),
              (stranger, date(2026, 1, 1)), (b, date(2025, 12, 31))]  # fmt: skip

    assert measures.retention(signed_up, active) == {date(2026, 1, 1): [1, 0, 2]}


@given(st.fractions(-1000, 1000))
def test_shares_are_shown_rounded_half_up(value: Fraction) -> None:
    shown = measures.as_decimal(value)

    assert abs(Fraction(shown) - value) <= Fraction(1, 2 * 10**6)
