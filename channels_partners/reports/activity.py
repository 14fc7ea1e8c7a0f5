"""Retention and satisfaction: who stays active, and what they say."""

from collections import Counter, defaultdict
from datetime import date, timedelta
from uuid import UUID

from django.db.models import Q, QuerySet
from django.db.models.functions import TruncMonth

from accounts.models import TenantKind
from billing.models import UsageEvent
from channels_partners import measures
from channels_partners.models import SurveyAnswer, SurveyKind
from channels_partners.reports import queries
from channels_partners.reports.params import Params
from channels_partners.reports.report import Column, Report, drill, shown

RETENTION_GROUPINGS = ("total", "channel", "partner", "campaign")
CSAT_GROUPINGS = ("total", "channel", "partner", "campaign", "month")
RETENTION_COLUMNS = (
    Column("group", "text"),
    Column("name", "text"),
    Column("cohort", "text", "month of sign-up"),
    Column("month", "count", "months after the cohort's"),
    Column("size", "count", "sign-ups of the cohort"),
    Column("active", "count", "of them, those with ≥ 1 job or prediction in that month"),
    Column("retention", "share", "active ÷ size"),
    Column("drill", "address"),
)
CSAT_COLUMNS = (
    Column("group", "text"),
    Column("name", "text"),
    Column("answers", "count", "customers' answers on the 1–5 scale in [from, to)"),
    Column("satisfied", "count", "answers of 4 or 5"),
    Column("csat", "share", "satisfied ÷ answers"),
    Column("nps_answers", "count", "customers' answers on the 0–10 scale in [from, to)"),
    Column("nps", "points", "(promoters 9–10 − detractors 0–6) ÷ nps_answers × 100"),
    Column("drill", "address"),
)
# What counts as a prediction; a job is anything metered with a job's id.
WORK = Q(job_id__isnull=False) | Q(meter__startswith="prediction")


def build_retention(params: Params) -> Report:
    """One row a group, sign-up month in [from, to), and month since, up to that of the last moment before `to`."""
    groups = {} if params.by == "total" else queries.groups_of_tenants(params.by)
    founded: dict[str, dict[UUID, date]] = defaultdict(dict)
    born = queries.customers(born_before=params.end).filter(created_at__gte=params.start)
    for tenant, at in born.values_list("pk", "created_at"):
        founded["total" if params.by == "total" else groups.get(tenant, queries.NOBODY)][tenant] = at.date()
    active = active_months(params)
    names = queries.group_names(params.by)
    rows = []
    for key, signed_up in sorted(founded.items()):
        sizes = Counter(measures.month_of(day) for day in signed_up.values())
        counts = measures.retention(signed_up, active)
        for cohort, size in sorted(sizes.items()):
            last = measures.months_between(cohort, (params.end - timedelta(microseconds=1)).date())
            for month in range(last + 1):
                stayed = counts.get(cohort, [])[month : month + 1]
                rows.append(
                    {
                        "group": key,
                        "name": names.get(key, key),
                        "cohort": f"{cohort:%Y-%m}",
                        "month": month,
                        "size": size,
                        "active": stayed[0] if stayed else 0,
                        "retention": shown(measures.share(stayed[0] if stayed else 0, size)),
                        "drill": drill("retention", params, key, cohort=f"{cohort:%Y-%m}"),
                    }
                )
    return Report("retention", params, RETENTION_COLUMNS, rows)


def build_csat(params: Params) -> Report:
    """One row a group with answers; NPS beside it."""
    groups = {} if params.by in ("total", "month") else queries.groups_of_tenants(params.by)
    scores: dict[str, dict[str, Counter[int]]] = defaultdict(lambda: {"csat": Counter(), "nps": Counter()})
    for kind, tenant, month, score in answers(params).values_list("kind", "tenant_id", "month", "score"):
        key = {"total": "total", "month": f"{month:%Y-%m}"}.get(params.by) or groups.get(tenant, queries.NOBODY)
        scores[key][kind][score] += 1
    names = queries.group_names(params.by)
    rows = []
    for key, found in sorted(scores.items()):
        csat, nps = found[SurveyKind.CSAT], found[SurveyKind.NPS]
        rows.append(
            {
                "group": key,
                "name": names.get(key, key),
                "answers": csat.total(),
                "satisfied": csat[4] + csat[5],
                "csat": shown(measures.csat(csat)),
                "nps_answers": nps.total(),
                "nps": shown(measures.nps(nps)),
                "drill": drill("csat", params, key),
            }
        )
    return Report("csat", params, CSAT_COLUMNS, rows)


def answers(params: Params) -> QuerySet[SurveyAnswer]:
    """The customers' answers of the period to both surveys; what partners' organisations say is not satisfaction."""
    period = SurveyAnswer.objects.filter(answered_at__gte=params.start, answered_at__lt=params.end)
    return period.filter(tenant__kind=TenantKind.CUSTOMER)


def active_months(params: Params) -> list[tuple[UUID, date]]:
    """(tenant, month) of everything that ran a job or a prediction from the period's start to its end."""
    events = UsageEvent.objects.filter(WORK, occurred_at__gte=params.start, occurred_at__lt=params.end)
    months = events.annotate(in_month=TruncMonth("occurred_at")).values_list("tenant_id", "in_month").distinct()
    return [(tenant, month.date()) for tenant, month in months.order_by()]
