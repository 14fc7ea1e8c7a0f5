"""MRR, its bridge over the period, ARPA, and the lifetime value that follows."""

from collections import defaultdict
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Any
from uuid import UUID

from django.db.models import OuterRef, Q, QuerySet, Subquery, Sum

from billing.models import PriceVersion, Subscription, SubscriptionPhase, SubscriptionStatus
from channels_partners import measures
from channels_partners.commission import add_months
from channels_partners.reports import queries
from channels_partners.reports.params import Params
from channels_partners.reports.report import Column, Report, drill, shown
from millrace.kernel.models import LedgerEntry

GROUPINGS = ("total", "channel", "partner", "campaign")
_NOT_COUNTED = (
    SubscriptionStatus.INCOMPLETE,
    SubscriptionStatus.INCOMPLETE_EXPIRED,
    SubscriptionStatus.UNPAID,
    SubscriptionStatus.PAUSED,
)
COLUMNS = (
    Column("group", "text"),
    Column("name", "text"),
    Column("currency", "text"),
    Column("start", "money", "MRR at `from`"),
    Column("new", "money", "of customers that had never subscribed before"),
    Column("reactivation", "money", "of customers that had, and had left"),
    Column("expansion", "money", "more from those who stayed"),
    Column("contraction", "money", "less from those who stayed"),
    Column("churn", "money", "of those who left"),
    Column("mrr", "money", "start + new + reactivation + expansion − contraction − churn"),
    Column("subscribers", "count", "customers with MRR at `to`"),
    Column("arpa", "money", "mrr ÷ subscribers"),
    Column("grr", "share", "1 − (churn + contraction) ÷ start"),
    Column("nrr", "share", "(start + expansion − contraction − churn) ÷ start"),
    Column("usage_revenue", "money", "settled metered revenue of the period, beside MRR and not part of it"),
    Column("drill", "address"),
)
LTV_COLUMNS = (
    Column("group", "text"),
    Column("name", "text"),
    Column("currency", "text"),
    Column("mrr", "money", "MRR at `to`"),
    Column("subscribers", "count", "customers with MRR at `to`"),
    Column("arpa", "money", "mrr ÷ subscribers"),
    Column("churn", "share", "mean logo churn of the six whole months before the month of `to`"),
    Column("ltv", "money", "arpa ÷ churn; none at zero churn"),
    Column("drill", "address"),
)
_ByGroup = dict[tuple[str, str], dict[UUID, int]]


def build(params: Params) -> Report:
    """One row a group and currency with MRR at either end, or with metered revenue in between."""
    groups = _groups(params)
    start, end = _grouped(mrr_at(params.start), groups, params), _grouped(mrr_at(params.end), groups, params)
    seen = set(Subscription.objects.filter(started_at__lt=params.start).values_list("tenant_id", flat=True))
    usage = _usage_revenue(params, groups)
    names = queries.group_names(params.by)
    rows = []
    for key, currency in sorted(start.keys() | end.keys() | usage.keys()):
        after = end.get((key, currency), {})
        bridge = measures.mrr_bridge(start.get((key, currency), {}), after, seen)
        rows.append(
            {
                "group": key,
                "name": names.get(key, key),
                "currency": currency,
                "start": bridge.start,
                "new": bridge.new,
                "reactivation": bridge.reactivation,
                "expansion": bridge.expansion,
                "contraction": bridge.contraction,
                "churn": bridge.churn,
                "mrr": bridge.end,
                "subscribers": len(after),
                "arpa": shown(measures.arpa(bridge.end, len(after))),
                "grr": shown(measures.gross_revenue_retention(bridge)),
                "nrr": shown(measures.net_revenue_retention(bridge)),
                "usage_revenue": usage.get((key, currency), 0),
                "drill": drill("mrr", params, key, row_currency=currency),
            }
        )
    return Report("mrr", params, COLUMNS, rows)


def build_ltv(params: Params) -> Report:
    """Lifetime value by group and currency."""
    groups = _groups(params)
    month = params.end.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    instants = [add_months(month, -back) for back in range(measures.CHURN_MONTHS, -1, -1)]
    history = [_grouped(mrr_at(at), groups, params) for at in instants]
    names = queries.group_names(params.by)
    rows = []
    for (key, currency), customers in sorted(_grouped(mrr_at(params.end), groups, params).items()):
        churn = measures.average_churn(_monthly_churn(history, (key, currency)))
        average = measures.arpa(sum(customers.values()), len(customers))
        rows.append(
            {
                "group": key,
                "name": names.get(key, key),
                "currency": currency,
                "mrr": sum(customers.values()),
                "subscribers": len(customers),
                "arpa": shown(average),
                "churn": shown(churn),
                "ltv": shown(measures.ltv(average, churn)),
                "drill": drill("ltv", params, key, row_currency=currency),
            }
        )
    return Report("ltv", params, LTV_COLUMNS, rows)


def counted_subscriptions(at: datetime) -> QuerySet[Any]:
    """Subscriptions that had a recurring fee running at `at`: begun, not ended, out of their trial. Each carries
    `price_at`, the id of the price in force then."""
    phase = SubscriptionPhase.objects.filter(subscription=OuterRef("pk"), starts_at__lte=at).order_by("-starts_at")
    running = Q(ended_at__isnull=True) | Q(ended_at__gt=at)
    out_of_trial = Q(trial_end__isnull=True) | Q(trial_end__lte=at)
    found = Subscription.objects.filter(running, out_of_trial, started_at__lte=at)
    return found.exclude(status__in=_NOT_COUNTED).annotate(price_at=Subquery(phase.values("price_version")[:1]))


def mrr_at(at: datetime) -> dict[str, dict[UUID, int]]:
    """Each customer's MRR at an instant, by currency; customers without any are left out."""
    prices = PriceVersion.objects.in_bulk()
    sums: dict[str, dict[UUID, int]] = defaultdict(lambda: defaultdict(int))
    rows = counted_subscriptions(at).values_list(
        "tenant_id", "price_at", "price_version_id", "billing_account__discount_percent"
    )
    for tenant, price_at, price_now, rebate in rows:
        price = prices[price_at or price_now]
        fee = subscription_mrr(price, rebate)
        if fee:
            sums[price.currency][tenant] += fee
    return {currency: dict(customers) for currency, customers in sums.items()}


def subscription_mrr(price: PriceVersion, rebate_percent: Decimal) -> int:
    """One subscription's fee a month, after its payer's rebate, in minor units."""
    return measures.monthly(price.recurring_amount, price.interval, discount_percent=rebate_percent)


def _groups(params: Params) -> dict[UUID, str]:
    return {} if params.by == "total" else queries.groups_of_tenants(params.by)


def _grouped(mrr: dict[str, dict[UUID, int]], groups: dict[UUID, str], params: Params) -> _ByGroup:
    split: _ByGroup = defaultdict(dict)
    for currency, customers in mrr.items():
        if params.currency and currency != params.currency:
            continue
        for tenant, fee in customers.items():
            key = "total" if params.by == "total" else groups.get(tenant, queries.NOBODY)
            split[key, currency][tenant] = fee
    return dict(split)


def _usage_revenue(params: Params, groups: dict[UUID, str]) -> dict[tuple[str, str], int]:
    entries = LedgerEntry.objects.filter(
        account="revenue:usage", occurred_at__gte=params.start, occurred_at__lt=params.end
    )
    if params.currency:
        entries = entries.filter(currency=params.currency)
    sums: dict[tuple[str, str], int] = defaultdict(int)
    for row in entries.values("tenant_id", "currency").annotate(total=Sum("amount")).order_by():
        key = "total" if params.by == "total" else groups.get(row["tenant_id"], queries.NOBODY)
        sums[key, row["currency"]] -= row["total"]
    return dict(sums)


def _monthly_churn(history: list[_ByGroup], key: tuple[str, str]) -> list[Fraction | None]:
    churn = []
    for before, after in pairwise(history):
        customers, left = before.get(key, {}), after.get(key, {})
        churn.append(measures.logo_churn(len(customers.keys() - left.keys()), len(customers)))
    return churn
