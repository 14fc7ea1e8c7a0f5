"""The measures of growth, as formulas. Pure: figures in, figures out, no database, nothing rounded but money.

Shares are Fractions (3/10 is 30 %) or None where there is nothing to divide by; money is minor units of one currency.
A change of any definition raises `DEFINITIONS`, which every report and export prints.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction
from uuid import UUID

from millrace.kernel.money import round_minor

DEFINITIONS = "2026-01"
PAYING_WINDOW_DAYS = 30
COHORT_DAYS = (7, 30, 90)
CHURN_MONTHS = 6


def share(part: int, whole: int) -> Fraction | None:
    """part ÷ whole; None when there is no whole."""
    return Fraction(part, whole) if whole else None


def as_decimal(value: Fraction | None, places: int = 6) -> Decimal | None:
    """A share for output, rounded half up to `places`."""
    if value is None:
        return None
    scaled = round_half_up(value * 10**places)
    return Decimal(scaled).scaleb(-places)


def round_half_up(value: Fraction) -> int:
    """To the nearest whole number, halves away from zero."""
    rounded = int(abs(value) + Fraction(1, 2))
    return rounded if value >= 0 else -rounded


def paying_ratio(paying: int, open_and_verified: int) -> Fraction | None:
    """TERMS "paying ratio (stock)": paying ÷ open, verified, at an instant; tenants or users."""
    return share(paying, open_and_verified)


def cohort_paying_ratio(first_paid_after_days: Sequence[float | None], within_days: int) -> Fraction | None:
    """TERMS "paying ratio (cohort)": of the sign-ups of a period, given as days until the first payment (None: never),
    the share that paid within W days."""
    paid = sum(1 for days in first_paid_after_days if days is not None and days <= within_days)
    return share(paid, len(first_paid_after_days))


def trial_conversion(started: int, became_paying: int) -> Fraction | None:
    """TERMS "trial conversion": trials started in P that became paying ÷ trials started in P."""
    return share(became_paying, started)


def monthly(recurring_amount: int, interval: str, count: int = 1, discount_percent: Decimal = Decimal(0)) -> int:
    """TERMS "MRR" of one subscription: its recurring fee a month, forever discounts off, rounded to minor units. A
    fee for `count` years counts a twelfth of each, however many years it is paid in advance (C9)."""
    months = count * {"month": 1, "year": 12}[interval]
    return round_minor(Decimal(recurring_amount) * (100 - discount_percent) / (100 * months))


@dataclass(frozen=True, slots=True)
class Bridge:
    """MRR from one instant to another, minor units of one currency; the parts sum to the end exactly."""

    start: int
    new: int
    reactivation: int
    expansion: int
    contraction: int
    churn: int
    end: int


def mrr_bridge(start: Mapping[UUID, int], end: Mapping[UUID, int], seen_before: Iterable[UUID] = ()) -> Bridge:
    """TERMS "MRR bridge": start + new + reactivation + expansion − contraction − churn = end.

    `start` and `end` are each customer's MRR at the two instants in one currency; `seen_before` are customers that
    subscribed at some time before the start, whose return is a reactivation.
    """
    seen = set(seen_before)
    parts = {"new": 0, "reactivation": 0, "expansion": 0, "contraction": 0, "churn": 0}
    for customer in start.keys() | end.keys():
        before, after = start.get(customer, 0), end.get(customer, 0)
        if before == 0:
            parts["reactivation" if customer in seen else "new"] += after
        elif after == 0:
            parts["churn"] += before
        elif after >= before:
            parts["expansion"] += after - before
        else:
            parts["contraction"] += before - after
    return Bridge(start=sum(start.values()), end=sum(end.values()), **parts)


def gross_revenue_retention(bridge: Bridge) -> Fraction | None:
    """TERMS "GRR": 1 − (churn + contraction) ÷ start."""
    lost = share(bridge.churn + bridge.contraction, bridge.start)
    return None if lost is None else 1 - lost


def net_revenue_retention(bridge: Bridge) -> Fraction | None:
    """TERMS "NRR": (start + expansion − contraction − churn) ÷ start; new and reactivated excluded."""
    return share(bridge.start + bridge.expansion - bridge.contraction - bridge.churn, bridge.start)


def arpa(mrr: int, subscribers: int) -> Fraction | None:
    """TERMS "ARPA": MRR ÷ subscribers, in minor units."""
    return share(mrr, subscribers)


def logo_churn(churned: int, at_the_start: int) -> Fraction | None:
    """TERMS "logo churn": churned customers ÷ customers at the start."""
    return share(churned, at_the_start)


def average_churn(months: Sequence[Fraction | None]) -> Fraction | None:
    """The mean of the last six whole months' logo churn; months without customers are left out."""
    known = [month for month in months[-CHURN_MONTHS:] if month is not None]
    return sum(known, Fraction(0)) / len(known) if known else None


def ltv(arpa_: Fraction | None, churn: Fraction | None) -> Fraction | None:
    """TERMS "LTV": ARPA ÷ average logo churn, in minor units; None at zero churn. 100 ÷ 5 % = 2,000."""
    if arpa_ is None or not churn:
        return None
    return arpa_ / churn


def channel_revenue(settled: int, refunds: int, disputes_lost: int) -> int:
    """TERMS "channel revenue": settled ex tax − refunds − lost disputes, in minor units (all three not negative)."""
    return settled - refunds - disputes_lost


def channel_net(revenue: int, accrued: int, clawed_back: int) -> int:
    """TERMS: channel revenue − commissions accrued + claw-backs, in minor units (both not negative)."""
    return revenue - accrued + clawed_back


def cac(commission: int, spend: int, new_paying: int) -> Fraction | None:
    """TERMS "CAC": (commission + recorded spend of the channel) ÷ new paying tenants of the channel, in minor units."""
    return share(commission + spend, new_paying)


def csat(scores: Mapping[int, int]) -> Fraction | None:
    """TERMS "CSAT": answers of 4 or 5 ÷ all answers on a 1–5 scale; `scores` counts answers by score."""
    return share(scores.get(4, 0) + scores.get(5, 0), sum(scores.values()))


def nps(scores: Mapping[int, int]) -> Fraction | None:
    """TERMS "NPS", in points from −100 to 100: promoters (9–10) − detractors (0–6), of all answers from 0 to 10."""
    promoters = sum(count for score, count in scores.items() if score >= 9)
    detractors = sum(count for score, count in scores.items() if score <= 6)
    part = share(promoters - detractors, sum(scores.values()))
    return None if part is None else part * 100


def month_of(day: date) -> date:
    """The first of the day's month."""
    return date(day.year, day.month, 1)


def months_between(first: date, later: date) -> int:
    """How many calendar months `later` is after `first`."""
    return (later.year - first.year) * 12 + later.month - first.month


def retention(signed_up: Mapping[UUID, date], active: Iterable[tuple[UUID, date]]) -> dict[date, list[int]]:
    """TERMS "retention": for each sign-up month, how many of its tenants were active in month 0, 1, 2, …

    `signed_up` gives each tenant's day of sign-up; `active` the months (any day of them) in which a tenant ran a job or
    a prediction, repeats allowed. The shares are these counts ÷ the cohort's size.
    """
    seen: dict[date, dict[int, set[UUID]]] = {}
    for tenant, day in active:
        if tenant not in signed_up:
            continue
        cohort = month_of(signed_up[tenant])
        month = months_between(cohort, day)
        if month >= 0:
            seen.setdefault(cohort, {}).setdefault(month, set()).add(tenant)
    return {
        cohort: [len(months.get(number, ())) for number in range(max(months) + 1)] for cohort, months in seen.items()
    }
