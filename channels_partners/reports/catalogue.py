"""Every report by its name."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from channels_partners.errors import ReportUnknown
from channels_partners.reports import activity, funnel, mrr, params, paying, revenue
from channels_partners.reports.params import Params
from channels_partners.reports.report import Report
from millrace.kernel.errors import NotFound
from millrace.kernel.tenancy import platform_scope


@dataclass(frozen=True, slots=True)
class Entry:
    """A report: how it is built, and what it can be grouped by, the default first."""

    build: Callable[[Params], Report]
    groupings: tuple[str, ...]


REPORTS = {
    "paying-ratio": Entry(paying.build, paying.GROUPINGS),
    "funnel": Entry(funnel.build, funnel.GROUPINGS),
    "channel-revenue": Entry(revenue.build, revenue.GROUPINGS),
    "mrr": Entry(mrr.build, mrr.GROUPINGS),
    "retention": Entry(activity.build_retention, activity.RETENTION_GROUPINGS),
    "ltv": Entry(mrr.build_ltv, mrr.GROUPINGS),
    "csat": Entry(activity.build_csat, activity.CSAT_GROUPINGS),
}


def entry(name: str) -> Entry:
    """The report's entry; NotFound for a name that there is not."""
    if name not in REPORTS:
        raise NotFound(f"The reports are: {', '.join(REPORTS)}.")
    return REPORTS[name]


def params_of(name: str, query: Mapping[str, str]) -> Params:
    """The parameters of a query string as this report takes them."""
    return params.parse(query, groupings=entry(name).groupings)


def report(name: str, wanted: Params) -> Report:
    """The report, read across tenants."""
    found = entry(name)
    if wanted.by not in found.groupings:
        raise ReportUnknown(f"This report groups by: {', '.join(found.groupings)}.", field="by")
    with platform_scope(reason=f"report {name}"):
        return found.build(wanted)
