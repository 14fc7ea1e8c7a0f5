"""What the reports read, in the platform's scope: sums of the ledger, people, clicks, answers.

A group's key is a slug (channel, campaign), a public id (partner, tenant), a stream's or month's name, or "total".
"""

from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Count, F, Min, OuterRef, Q, QuerySet, Subquery, Sum, Value
from django.db.models.functions import TruncMonth

from accounts.models import Membership, Tenant, TenantKind, TenantState
from channels_partners.measures import PAYING_WINDOW_DAYS
from channels_partners.models import (
    EXPENSE,
    Attribution,
    AttributionStatus,
    Campaign,
    Channel,
    ChannelSpend,
    Click,
    Partner,
)
from channels_partners.reports.params import Params
from millrace.kernel.errors import Invalid
from millrace.kernel.ids import parse, typeid
from millrace.kernel.models import LedgerEntry

REVENUE, REFUNDS, DISPUTES = "revenue:", "refunds:", "disputes:"
INCOME = Q(account__startswith=REVENUE) | Q(account__startswith=REFUNDS) | Q(account__startswith=DISPUTES)
NOBODY = "none"
_CUSTOMERS = Q(kind=TenantKind.CUSTOMER)


def paying_tenants(at: datetime, among: Iterable[UUID] | None = None) -> set[UUID]:
    """TERMS "paying tenant": those with a settled invoice above zero, net of what went back by then, in the 30 days
    up to `at`."""
    window = Q(occurred_at__gt=at - timedelta(days=PAYING_WINDOW_DAYS), occurred_at__lte=at)
    recent = LedgerEntry.objects.filter(window, account__startswith=REVENUE).values("invoice_id")
    entries = LedgerEntry.objects.filter(INCOME, occurred_at__lte=at, invoice_id__in=recent, tenant__isnull=False)
    if among is not None:
        entries = entries.filter(tenant_id__in=list(among))
    invoices = entries.values("tenant_id", "invoice_id").annotate(net=Sum("amount")).filter(net__lt=0)
    return {row["tenant_id"] for row in invoices.order_by()}


def first_paid(until: datetime) -> dict[UUID, datetime]:
    """When each tenant first settled an invoice above zero, net of what went back by `until`."""
    return {tenant: at for tenant, (at, _) in first_payments(until).items()}


def first_payments(until: datetime) -> dict[UUID, tuple[datetime, str]]:
    """The same, with the currency of that first payment."""
    entries = LedgerEntry.objects.filter(INCOME, occurred_at__lte=until, tenant__isnull=False)
    invoices = (
        entries.values("tenant_id", "invoice_id", "currency")
        .annotate(net=Sum("amount"), settled_at=Min("occurred_at", filter=Q(account__startswith=REVENUE)))
        .filter(net__lt=0, settled_at__isnull=False)
    )
    first: dict[UUID, tuple[datetime, str]] = {}
    for row in invoices.order_by():
        paid = (row["settled_at"], row["currency"])
        first[row["tenant_id"]] = min(first.get(row["tenant_id"], paid), paid)
    return first


def customers(*, born_before: datetime) -> QuerySet[Tenant]:
    """Customers' tenants, closed ones too."""
    return Tenant.objects.filter(_CUSTOMERS, created_at__lt=born_before)


def open_customers(at: datetime) -> QuerySet[Tenant]:
    """Those open and verified at `at`: verified by then, and not closed by then."""
    closed = Q(state=TenantState.CLOSED) & (Q(state_changed_at__isnull=True) | Q(state_changed_at__lte=at))
    return customers(born_before=at).filter(verified_at__lte=at).exclude(closed)


def user_places(at: datetime) -> list[tuple[UUID, UUID]]:
    """(user, tenant) of every user who counts: a verified, active member of an open customer's tenant; staff and
    partners' people do not count."""
    places = Membership.objects.filter(
        tenant__in=open_customers(at), user__verified_at__lte=at, user__is_active=True, user__is_staff=False,
        created_at__lte=at,
    )  # fmt: skip
    return list(places.values_list("user_id", "tenant_id"))


def groups_of_tenants(by: str, tenants: Iterable[UUID] | None = None) -> dict[UUID, str]:
    """The group that each attributed tenant belongs to; partners count for those that are bound to them only."""
    found = Attribution.objects.all()
    if tenants is not None:
        found = found.filter(tenant_id__in=list(tenants))
    rows = found.values_list("tenant_id", "channel__slug", "partner_id", "campaign__slug", "status")
    return {
        tenant: _group(by, channel, partner if status == AttributionStatus.BOUND else None, campaign)
        for tenant, channel, partner, campaign, status in rows
    }


def income(params: Params) -> dict[tuple[str, str], dict[str, int]]:
    """By (group, currency): settled, refunds and disputes of the period, ex tax, in minor units, from the ledger."""
    entries = _grouped(_in_period(LedgerEntry.objects.filter(INCOME), params), params.by)
    sums: dict[tuple[str, str], dict[str, int]] = defaultdict(lambda: {"settled": 0, "refunds": 0, "disputes": 0})
    names = {REVENUE: "settled", REFUNDS: "refunds", DISPUTES: "disputes"}
    for row in entries.values("group", "currency", "account").annotate(total=Sum("amount")).order_by():
        prefix, _, stream = row["account"].partition(":")
        group = stream if params.by == "stream" else _name(params.by, row["group"])
        name = names[f"{prefix}:"]
        sums[group, row["currency"]][name] += -row["total"] if name == "settled" else row["total"]
    return dict(sums)


def commissions(params: Params) -> dict[tuple[str, str], dict[str, int]]:
    """By (group, currency): commission accrued and clawed back in the period, from the ledger."""
    entries = _grouped(_in_period(LedgerEntry.objects.filter(account=EXPENSE), params), params.by)
    sums: dict[tuple[str, str], dict[str, int]] = defaultdict(lambda: {"accrued": 0, "clawed_back": 0})
    rows = entries.values("group", "currency", kind=F("transaction__kind")).annotate(total=Sum("amount"))
    for row in rows.order_by():
        accrued = row["kind"] == "commission.accrual"
        group = _name(params.by, row["group"])
        sums[group, row["currency"]]["accrued" if accrued else "clawed_back"] += (
            row["total"] if accrued else -row["total"]
        )
    return dict(sums)


def spends(params: Params) -> dict[tuple[str, str], int]:
    """By (group, currency): recorded spend of the period; it has a channel, sometimes a campaign, never a partner."""
    rows = spend_rows(params).values("currency", "channel__slug", "campaign__slug").annotate(total=Sum("amount"))
    sums: dict[tuple[str, str], int] = defaultdict(int)
    for row in rows.order_by():
        sums[_group(params.by, row["channel__slug"], None, row["campaign__slug"]), row["currency"]] += row["total"]
    return dict(sums)


def spend_rows(params: Params) -> QuerySet[ChannelSpend]:
    """The spend rows themselves."""
    day_after = (
        params.end + timedelta(days=1) - timedelta(microseconds=1)
    ).date()  # a period that ends at noon has that day
    found = ChannelSpend.objects.filter(spent_on__gte=params.start.date(), spent_on__lt=day_after)
    return found.filter(currency=params.currency) if params.currency else found


def clicks_by_group(params: Params) -> dict[str, int]:
    """Visitors' clicks of the period by group."""
    rows = Click.objects.filter(at__gte=params.start, at__lt=params.end).values(
        "link__channel__slug", "link__partner_id", "link__campaign__slug"
    )
    counts: dict[str, int] = defaultdict(int)
    for row in rows.annotate(count=Count("id")).order_by():
        key = _group(params.by, row["link__channel__slug"], row["link__partner_id"], row["link__campaign__slug"])
        counts[key] += row["count"]
    return dict(counts)


def group_names(by: str) -> dict[str, str]:
    """What people call the groups, by key: channels, campaigns and partners have a name besides it."""
    if by == "partner":
        return {typeid("ptr", key): name for key, name in Partner.objects.values_list("pk", "name")}
    if by == "channel":
        return dict(Channel.objects.values_list("slug", "name"))
    return dict(Campaign.objects.values_list("slug", "name")) if by == "campaign" else {}


def ledger_entries_of(group: str, params: Params, accounts: Q = INCOME) -> QuerySet[Any]:
    """The ledger entries behind one group's figure."""
    entries = _grouped(_in_period(LedgerEntry.objects.filter(accounts), params), params.by)
    if params.by == "stream":
        return entries.filter(account__endswith=f":{group}")
    if params.by == "total":
        return entries
    wanted = key_behind(params.by, group)
    return entries.filter(group__isnull=True) if wanted is None else entries.filter(group=wanted)


def key_of_payment(by: str, group: str | None, tenant: UUID, at: datetime) -> str:
    """The group that a tenant's payment at `at` belongs to."""
    if by in ("tenant", "month"):
        return _name(by, tenant if by == "tenant" else at)
    return "total" if by == "total" else group or NOBODY


def key_behind(by: str, group: str) -> object:
    """The stored value behind a group's name; None for nobody's."""
    if group == NOBODY:
        return None
    if by == "month":
        try:
            return datetime.strptime(group, "%Y-%m").replace(tzinfo=UTC)
        except ValueError as error:
            raise Invalid("A month is written 2026-01.", field="key") from error
    prefix = {"partner": "ptr", "tenant": "ten"}.get(by)
    return parse(prefix, group) if prefix else group


def _in_period(entries: QuerySet[LedgerEntry], params: Params) -> QuerySet[LedgerEntry]:
    found = entries.filter(occurred_at__gte=params.start, occurred_at__lt=params.end)
    return found.filter(currency=params.currency) if params.currency else found


def _grouped(entries: QuerySet[LedgerEntry], by: str) -> QuerySet[Any]:
    """Entries annotated with the group of the tenant that they belong to."""
    attribution = Attribution.objects.filter(tenant=OuterRef("tenant"))
    if by == "channel":
        return entries.annotate(group=Subquery(attribution.values("channel__slug")[:1]))
    if by == "campaign":
        return entries.annotate(group=Subquery(attribution.values("campaign__slug")[:1]))
    if by == "partner":
        bound = attribution.filter(status=AttributionStatus.BOUND)
        return entries.annotate(group=Subquery(bound.values("partner")[:1]))
    if by == "tenant":
        return entries.annotate(group=F("tenant_id"))
    if by == "month":
        return entries.annotate(group=TruncMonth("occurred_at"))
    return entries.annotate(group=Value("total"))


def _group(by: str, channel: str | None, partner: UUID | None, campaign: str | None) -> str:
    values = {"channel": channel, "partner": partner, "campaign": campaign}
    return _name(by, values[by]) if by in values else "total"


def _name(by: str, value: object) -> str:
    if value is None:
        return NOBODY
    if by == "partner":
        return typeid("ptr", value)  # type: ignore[arg-type]
    if by == "tenant":
        return typeid("ten", value)  # type: ignore[arg-type]
    if by == "month":
        return f"{value:%Y-%m}"
    return str(value)
