"""Reports over time, for charts: each point is a report of its own period or instant, so chart and table agree."""

from datetime import datetime, timedelta
from itertools import pairwise

from channels_partners.models import CommissionEntry, EntryKind, Partner
from channels_partners.reports import catalogue
from channels_partners.reports.params import Params
from channels_partners.reports.queries import income
from millrace.kernel.tenancy import platform_scope

LONGEST = 400


def steps(start: datetime, end: datetime, days: int = 1) -> list[tuple[datetime, datetime]]:
    """[start, end) cut into periods of `days`, the last one cut short; ValueError for more than 400."""
    if (end - start) / timedelta(days=days) > LONGEST:
        raise ValueError(f"A series has {LONGEST} points at most.")
    cuts = [start]
    while cuts[-1] < end:
        cuts.append(min(cuts[-1] + timedelta(days=days), end))
    return list(pairwise(cuts))


def channel_revenue_series(
    start: datetime, end: datetime, *, currency: str, by: str = "channel", days: int = 1
) -> dict[str, list[tuple[datetime, int]]]:
    """For each group, (start of the period, revenue net of refunds and lost disputes in minor units), zeros included;
    groups without any revenue are left out. The points of a group sum to its row in `channel-revenue`."""
    periods = steps(start, end, days)
    with platform_scope(reason="revenue over time"):
        found = [income(Params(first, last, by, currency)) for first, last in periods]
    groups = sorted({group for point in found for group, _ in point})
    nothing = {"settled": 0, "refunds": 0, "disputes": 0}
    series: dict[str, list[tuple[datetime, int]]] = {group: [] for group in groups}
    for (first, _), point in zip(periods, found, strict=True):
        for group in groups:
            money = point.get((group, currency), nothing)
            series[group].append((first, money["settled"] - money["refunds"] - money["disputes"]))
    return series


def paying_ratio_series(start: datetime, end: datetime, *, days: int = 1) -> list[dict]:
    """The total row of `paying-ratio` at the end of each period: users, paying_users, user_ratio, tenants, …, and
    `at`."""
    points = []
    for first, last in steps(start, end, days):
        row = catalogue.report("paying-ratio", Params(first, last, "total")).rows[0]
        points.append({"at": last, **row})
    return points


def earnings_series(partner: Partner, start: datetime, end: datetime, *, currency: str, days: int = 1) -> list[dict]:
    """What a partner earned in each period, in minor units: `{"at", "accrued", "clawed_back", "net"}`."""
    with platform_scope(reason="a partner's commissions are made by many customers"):
        found = CommissionEntry.objects.filter(
            partner=partner, currency=currency, occurred_at__gte=start, occurred_at__lt=end
        )
        entries = list(found.values_list("occurred_at", "kind", "amount"))
    points = []
    for first, last in steps(start, end, days):
        here = [(kind, amount) for at, kind, amount in entries if first <= at < last]
        accrued = sum(amount for kind, amount in here if kind == EntryKind.ACCRUAL)
        clawed_back = -sum(amount for kind, amount in here if kind != EntryKind.ACCRUAL)
        points.append({"at": first, "accrued": accrued, "clawed_back": clawed_back, "net": accrued - clawed_back})
    return points
