"""Billing periods and proration: pure arithmetic on epoch seconds, UTC, and integer minor units."""

import calendar
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal

_FIXED = {"day": 86_400, "week": 604_800}
_MONTHS = {"month": 1, "year": 12}
_THREE_DECIMALS = ("bhd", "jod", "kwd", "omr", "tnd")


def add_months(anchor: int, months: int) -> int:
    """`anchor` plus whole months, keeping its day where the month has it and the month's last day where not."""
    start = datetime.fromtimestamp(anchor, UTC)
    index = start.year * 12 + start.month - 1 + months
    year, month = divmod(index, 12)
    day = min(start.day, calendar.monthrange(year, month + 1)[1])
    return int(start.replace(year=year, month=month + 1, day=day).timestamp())


def boundary_after(anchor: int, interval: str, count: int, moment: int) -> int:
    """The first period boundary strictly later than `moment` on the grid that runs through `anchor`.

    The grid is counted from the anchor every time, so a 31st comes back after a short month.
    """
    if interval in _FIXED:
        step = _FIXED[interval] * count
        return anchor + ((moment - anchor) // step + 1) * step
    step = _MONTHS[interval] * count
    begin, at = datetime.fromtimestamp(anchor, UTC), datetime.fromtimestamp(moment, UTC)
    periods = ((at.year - begin.year) * 12 + at.month - begin.month) // step - 1
    while add_months(anchor, periods * step) <= moment:
        periods += 1
    return add_months(anchor, periods * step)


def boundary_before(anchor: int, interval: str, count: int, boundary: int) -> int:
    """The period boundary just before `boundary` (itself on the grid)."""
    if interval in _FIXED:
        return boundary - _FIXED[interval] * count
    step = _MONTHS[interval] * count
    begin, at = datetime.fromtimestamp(anchor, UTC), datetime.fromtimestamp(boundary, UTC)
    periods = ((at.year - begin.year) * 12 + at.month - begin.month) // step + 1
    while add_months(anchor, periods * step) >= boundary:
        periods -= 1
    return add_months(anchor, periods * step)


def prorate(amount: int, begin: int, end: int, period_start: int, period_end: int, step: int = 1) -> int:
    """The share of `amount` (minor units) that the seconds begin..end are of the period, rounded half up."""
    length = period_end - period_start
    if length <= 0:
        return amount
    return round_half_up(Decimal(amount) * (end - begin) / length, step)


def round_half_up(value: Decimal, step: int = 1) -> int:
    """The nearest multiple of `step`; halves go away from zero, as Stripe rounds."""
    return int((value / step).quantize(Decimal(1), ROUND_HALF_UP)) * step


def step_of(currency: str) -> int:
    """What amounts in a currency are multiples of: Stripe takes those with three decimals in tens."""
    return 10 if currency in _THREE_DECIMALS else 1


def allocate(amount: int, weights: list[int]) -> list[int]:
    """Split `amount` in proportion to `weights` (largest remainder), so that the parts sum to it exactly."""
    total = sum(weights)
    if total == 0:
        return [0] * len(weights)
    parts = [amount * weight // total for weight in weights]
    by_remainder = sorted(range(len(weights)), key=lambda i: -(amount * weights[i] % total))
    for index in by_remainder[: amount - sum(parts)]:
        parts[index] += 1
    return parts
