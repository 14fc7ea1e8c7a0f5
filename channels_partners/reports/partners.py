"""What a partner reads about its own work."""

from django.db.models import Q, Sum

from channels_partners import measures
from channels_partners.models import Attribution, AttributionStatus, Click, CommissionEntry, EntryKind, Partner
from channels_partners.reports import funnel
from channels_partners.reports.params import Params
from channels_partners.reports.report import shown
from millrace.kernel.tenancy import platform_scope


def partner_report(partner: Partner, params: Params) -> dict:
    """A partner's funnel of the period, by sign-up cohort, and what it earned in it by currency (minor units).

    The same figures as the partner's row in staff's funnel.
    """
    with platform_scope(reason="a partner's customers are other tenants"):
        bound = Attribution.objects.filter(partner=partner, status=AttributionStatus.BOUND)
        ways = funnel.journeys(params, set(bound.values_list("tenant_id", flat=True)))
        counts = {
            stage: sum(getattr(way, stage) is not None for way in ways)
            for stage in ("verified", "trial", "first_job", "paying")
        }
        clicks = Click.objects.filter(link__partner=partner, at__gte=params.start, at__lt=params.end).count()
        return {
            "definitions": measures.DEFINITIONS,
            "start": params.start,
            "end": params.end,
            "clicks": clicks,
            "signups": len(ways),
            **counts,
            "trial_conversion": shown(measures.trial_conversion(counts["trial"], counts["paying"])),
            "earnings": _earnings(partner, params),
        }


def _earnings(partner: Partner, params: Params) -> list[dict]:
    entries = CommissionEntry.objects.filter(
        partner=partner, occurred_at__gte=params.start, occurred_at__lt=params.end
    ).values("currency")
    rows = entries.annotate(
        accrued=Sum("amount", filter=Q(kind=EntryKind.ACCRUAL), default=0),
        clawed_back=Sum("amount", filter=~Q(kind=EntryKind.ACCRUAL), default=0),
    )
    return [
        {"currency": row["currency"], "accrued": row["accrued"], "clawed_back": -row["clawed_back"]}
        for row in rows.order_by("currency")
    ]
