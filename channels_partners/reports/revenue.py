"""Channel revenue: what came in by each channel, what it cost in commission and spend, what is left."""

from collections import defaultdict

from channels_partners import measures
from channels_partners.reports import queries
from channels_partners.reports.params import Params
from channels_partners.reports.report import Column, Report, drill, shown

GROUPINGS = ("channel", "total", "partner", "campaign", "stream", "tenant", "month")
COLUMNS = (
    Column("group", "text"),
    Column("name", "text"),
    Column("currency", "text"),
    Column("settled", "money", "settled revenue of the period, ex tax"),
    Column("refunds", "money", "refunded in the period, ex tax"),
    Column("disputes_lost", "money", "lost to disputes in the period, ex tax"),
    Column("revenue", "money", "settled − refunds − disputes_lost"),
    Column("accrued", "money", "commission accrued in the period"),
    Column("clawed_back", "money", "commission taken back in the period"),
    Column("net", "money", "revenue − accrued + clawed_back"),
    Column("spend", "money", "recorded spend of the period (has a channel or campaign, no partner)"),
    Column("new_paying", "count", "customers whose first payment fell into the period"),
    Column("cac", "money", "(accrued − clawed_back + spend) ÷ new_paying"),
    Column("drill", "address"),
)
_NOTES = (
    "Figures are per currency; none is converted.",
    "By stream, month or tenant, commission and spend are shown where they can be told apart, new_paying likewise.",
)


def build(params: Params) -> Report:
    """One row a group and currency that had income, commission or spend. The rows of any grouping sum to the same
    revenue: the ledger's."""
    income, commissions = queries.income(params), _commissions(params)
    spends = queries.spends(params) if params.by in ("channel", "campaign", "total") else {}
    new_paying = _new_paying(params)
    names = queries.group_names(params.by)
    rows = []
    for key, currency in sorted(income.keys() | commissions.keys() | spends.keys()):
        money = income.get((key, currency), {"settled": 0, "refunds": 0, "disputes": 0})
        earned = commissions.get((key, currency), {"accrued": 0, "clawed_back": 0})
        spend = spends.get((key, currency), 0)
        revenue = measures.channel_revenue(money["settled"], money["refunds"], money["disputes"])
        new = new_paying.get((key, currency), 0)
        rows.append(
            {
                "group": key,
                "name": names.get(key, key),
                "currency": currency,
                "settled": money["settled"],
                "refunds": money["refunds"],
                "disputes_lost": money["disputes"],
                "revenue": revenue,
                **earned,
                "net": measures.channel_net(revenue, earned["accrued"], earned["clawed_back"]),
                "spend": spend,
                "new_paying": new,
                "cac": shown(measures.cac(earned["accrued"] - earned["clawed_back"], spend, new)),
                "drill": drill("channel-revenue", params, key, row_currency=currency),
            }
        )
    return Report("channel-revenue", params, COLUMNS, rows, _NOTES)


def _commissions(params: Params) -> dict[tuple[str, str], dict[str, int]]:
    # The expense account has no stream in its name.
    return {} if params.by == "stream" else queries.commissions(params)


def _new_paying(params: Params) -> dict[tuple[str, str], int]:
    """By (group, currency): customers whose first payment fell into the period, in the currency that they paid in."""
    if params.by == "stream":
        return {}
    groups = queries.groups_of_tenants(params.by) if params.by in ("channel", "partner", "campaign") else {}
    counts: dict[tuple[str, str], int] = defaultdict(int)
    for tenant, (at, currency) in queries.first_payments(params.end).items():
        if not params.start <= at < params.end or (params.currency and currency != params.currency):
            continue
        key = queries.key_of_payment(params.by, groups.get(tenant), tenant, at)
        counts[key, currency] += 1
    return dict(counts)
