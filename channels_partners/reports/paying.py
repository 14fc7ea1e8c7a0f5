"""Paying ratio: who pays, of those who could; at an instant, and by sign-up cohort."""

from collections import defaultdict
from datetime import datetime
from uuid import UUID

from channels_partners import measures
from channels_partners.reports import queries
from channels_partners.reports.params import Params
from channels_partners.reports.report import Column, Report, drill, shown

GROUPINGS = ("total", "channel", "partner", "campaign")
COLUMNS = (
    Column("group", "text"),
    Column("name", "text"),
    Column("users", "count", "verified members of open customers' tenants at `to`; staff and partners left out"),
    Column("paying_users", "count", "of them, those with a paying tenant"),
    Column("user_ratio", "share", "paying_users ÷ users"),
    Column("tenants", "count", "open, verified customers' tenants at `to`"),
    Column("paying_tenants", "count", "with ≥ 1 settled invoice > 0, net of refunds, in the 30 days up to `to`"),
    Column("tenant_ratio", "share", "paying_tenants ÷ tenants"),
    Column("signups", "count", "tenants founded in [from, to)"),
    *(
        Column(f"paid_within_{days}", "share", f"of signups, those that first paid within {days} days")
        for days in measures.COHORT_DAYS
    ),
    Column("drill", "address"),
)


def build(params: Params) -> Report:
    """One row a group; a user with tenants in two groups counts in both, and once in the total."""
    groups = queries.groups_of_tenants(params.by)
    open_ids = set(queries.open_customers(params.end).values_list("pk", flat=True))
    paying = queries.paying_tenants(params.end)
    users, paying_users = _users_by_group(params, groups, paying)
    cohort = _cohort(params, groups)
    names = queries.group_names(params.by)
    keys = {groups.get(tenant, queries.NOBODY) for tenant in open_ids} | cohort.keys()
    rows = []
    for key in sorted(keys) if params.by != "total" else ["total"]:
        tenants = {tenant for tenant in open_ids if params.by == "total" or groups.get(tenant, queries.NOBODY) == key}
        waits = cohort.get(key, [])
        rows.append(
            {
                "group": key,
                "name": names.get(key, key),
                "users": len(users[key]),
                "paying_users": len(paying_users[key]),
                "user_ratio": shown(measures.paying_ratio(len(paying_users[key]), len(users[key]))),
                "tenants": len(tenants),
                "paying_tenants": len(tenants & paying),
                "tenant_ratio": shown(measures.paying_ratio(len(tenants & paying), len(tenants))),
                "signups": len(waits),
                **{
                    f"paid_within_{days}": shown(measures.cohort_paying_ratio(waits, days))
                    for days in measures.COHORT_DAYS
                },
                "drill": drill("paying-ratio", params, key),
            }
        )
    return Report("paying-ratio", params, COLUMNS, rows)


def _users_by_group(
    params: Params, groups: dict[UUID, str], paying: set[UUID]
) -> tuple[dict[str, set[UUID]], dict[str, set[UUID]]]:
    users: dict[str, set[UUID]] = defaultdict(set)
    paying_users: dict[str, set[UUID]] = defaultdict(set)
    for user, tenant in queries.user_places(params.end):
        key = "total" if params.by == "total" else groups.get(tenant, queries.NOBODY)
        users[key].add(user)
        if tenant in paying:
            paying_users[key].add(user)
    return users, paying_users


def _cohort(params: Params, groups: dict[UUID, str]) -> dict[str, list[float | None]]:
    """For each group, days from sign-up to the first payment of its sign-ups of the period; None: not yet."""
    first: dict[UUID, datetime] = queries.first_paid(params.end)
    waits: dict[str, list[float | None]] = defaultdict(list)
    founded = queries.customers(born_before=params.end).filter(created_at__gte=params.start)
    for tenant, born in founded.values_list("pk", "created_at"):
        key = "total" if params.by == "total" else groups.get(tenant, queries.NOBODY)
        waits[key].append((first[tenant] - born).total_seconds() / 86400 if tenant in first else None)
    return waits
