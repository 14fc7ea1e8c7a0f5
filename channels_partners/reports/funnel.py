"""The funnel: clicks → sign-ups → verified → trial → first job → paying, by sign-up cohort."""

from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db.models import Min

from billing.models import Subscription, UsageEvent
from channels_partners import measures
from channels_partners.reports import queries
from channels_partners.reports.params import Params
from channels_partners.reports.report import Column, Report, drill, shown

GROUPINGS = ("channel", "total", "partner", "campaign")
COLUMNS = (
    Column("group", "text"),
    Column("name", "text"),
    Column("clicks", "count", "visits of the group's links in [from, to), robots and prefetches left out"),
    Column("signups", "count", "customers' tenants founded in [from, to)"),
    Column("verified", "count", "of signups, those with a verified address by `to`"),
    Column("trial", "count", "of signups, those that took a plan or used the free one by `to`"),
    Column("first_job", "count", "of signups, those whose first job used device time by `to`"),
    Column("paying", "count", "of signups, those that settled an invoice > 0, net of refunds, by `to`"),
    Column("trial_conversion", "share", "paying ÷ trial"),
    Column("drill", "address"),
    Column("drill_clicks", "address"),
)


@dataclass(frozen=True, slots=True)
class Journey:
    """When one tenant reached each stage; None: not by the report's end."""

    tenant_id: UUID
    name: str
    signed_up: datetime
    verified: datetime | None
    trial: datetime | None
    first_job: datetime | None
    paying: datetime | None


def build(params: Params) -> Report:
    """One row a group that had a click or a sign-up."""
    groups = queries.groups_of_tenants(params.by)
    clicks = queries.clicks_by_group(params)
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for journey in journeys(params):
        key = "total" if params.by == "total" else groups.get(journey.tenant_id, queries.NOBODY)
        counts[key]["signups"] += 1
        for stage in ("verified", "trial", "first_job", "paying"):
            counts[key][stage] += getattr(journey, stage) is not None
    names = queries.group_names(params.by)
    rows = [
        {
            "group": key,
            "name": names.get(key, key),
            "clicks": clicks.get(key, 0),
            **{stage: counts[key][stage] for stage in ("signups", "verified", "trial", "first_job", "paying")},
            "trial_conversion": shown(measures.trial_conversion(counts[key]["trial"], counts[key]["paying"])),
            "drill": drill("funnel", params, key),
            "drill_clicks": drill("funnel", params, key, stage="clicks"),
        }
        for key in sorted(counts.keys() | clicks.keys())
    ]
    return Report("funnel", params, COLUMNS, rows)


def journeys(params: Params, only: set[UUID] | None = None) -> list[Journey]:
    """The way of every customer that signed up in the period (of `only`, where given), oldest first."""
    founded = queries.customers(born_before=params.end).filter(created_at__gte=params.start).order_by("id")
    if only is not None:
        founded = founded.filter(pk__in=only)
    tenants = list(founded)
    ids = [tenant.pk for tenant in tenants]
    used = UsageEvent.objects.filter(tenant_id__in=ids, occurred_at__lt=params.end)
    first_use = _first(used, "occurred_at")
    first_job = _first(used.filter(job_id__isnull=False), "occurred_at")
    taken = _first(Subscription.objects.filter(tenant_id__in=ids, started_at__lt=params.end), "started_at")
    paid = queries.first_paid(params.end)
    return [
        Journey(
            tenant_id=tenant.pk,
            name=tenant.name,
            signed_up=tenant.created_at,
            verified=tenant.verified_at if tenant.verified_at and tenant.verified_at < params.end else None,
            trial=min(filter(None, (first_use.get(tenant.pk), taken.get(tenant.pk))), default=None),
            first_job=first_job.get(tenant.pk),
            paying=paid.get(tenant.pk),
        )
        for tenant in tenants
    ]


def _first(rows: object, moment: str) -> dict[UUID, datetime]:
    found = rows.values("tenant_id").annotate(first=Min(moment)).order_by()  # type: ignore[attr-defined]
    return {row["tenant_id"]: row["first"] for row in found}
