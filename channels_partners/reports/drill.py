"""The rows behind a report's line: what its `drill` address answers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db.models import Q, QuerySet

from accounts.models import Tenant
from billing.models import PriceVersion
from channels_partners.models import EXPENSE, Click
from channels_partners.reports import activity, funnel, mrr, queries
from channels_partners.reports.params import Params
from millrace.kernel.errors import Invalid
from millrace.kernel.ids import typeid
from millrace.kernel.money import exponent


@dataclass(frozen=True, slots=True)
class Drill:
    """Rows to page through (any model with a UUIDv7 key), and how a page of them is shown."""

    rows: QuerySet
    show: Callable[[Sequence], list[dict]]


def rows_of(name: str, params: Params, query: Mapping[str, str]) -> Drill:
    """What the line `key` of a report is made of, in the platform's scope. Invalid without a key."""
    key = query.get("key", "")
    if not key or not key.isprintable():
        raise Invalid("Say which line: key=…", field="key")
    if query.get("row_currency"):
        exponent(query["row_currency"])
    return _DRILLS[name](params, key, query)


def _paying(params: Params, key: str, query: Mapping[str, str]) -> Drill:
    paying, first = queries.paying_tenants(params.end), queries.first_paid(params.end)
    users: dict[UUID, int] = {}
    for _, tenant in queries.user_places(params.end):
        users[tenant] = users.get(tenant, 0) + 1

    def show(tenants: Sequence) -> list[dict]:
        return [
            {
                **_tenant(one),
                "verified_at": one.verified_at,
                "users": users.get(one.pk, 0),
                "paying": one.pk in paying,
                "first_paid_at": first.get(one.pk),
            }
            for one in tenants
        ]

    return Drill(_in_group(queries.open_customers(params.end), params, key), show)


def _funnel(params: Params, key: str, query: Mapping[str, str]) -> Drill:
    if query.get("stage") == "clicks":
        return _clicks(params, key)
    founded = queries.customers(born_before=params.end).filter(created_at__gte=params.start)

    def show(tenants: Sequence) -> list[dict]:
        ways = {one.tenant_id: one for one in funnel.journeys(params, {one.pk for one in tenants})}
        stages = ("signed_up", "verified", "trial", "first_job", "paying")
        return [_tenant(one) | {stage: getattr(ways[one.pk], stage) for stage in stages} for one in tenants]

    return Drill(_in_group(founded, params, key), show)


def _clicks(params: Params, key: str) -> Drill:
    clicks = Click.objects.filter(at__gte=params.start, at__lt=params.end).select_related("link")
    if params.by in ("channel", "campaign"):
        clicks = clicks.filter(**{f"link__{params.by}__slug": None if key == queries.NOBODY else key})
    elif params.by == "partner":
        clicks = clicks.filter(Q(link__partner_id=queries.key_behind("partner", key)))
    return Drill(
        clicks,
        lambda found: [
            {"click": one.public_id, "at": one.at, "link": one.link.code, "visitor": typeid("vis", one.visitor_id),
             "referer_host": one.referer_host}
            for one in found
        ],
    )  # fmt: skip


def _revenue(params: Params, key: str, query: Mapping[str, str]) -> Drill:
    wanted = queries.INCOME if params.by == "stream" else queries.INCOME | Q(account=EXPENSE)
    entries = queries.ledger_entries_of(key, params, wanted)
    if query.get("row_currency"):
        entries = entries.filter(currency=query["row_currency"])
    return Drill(
        entries,
        lambda found: [
            {
                "entry": one.public_id,
                "at": one.occurred_at,
                "account": one.account,
                # The ledger credits income: what came in is shown positive, what went out negative.
                "amount": -one.amount,
                "currency": one.currency,
                "tenant": typeid("ten", one.tenant_id) if one.tenant_id else None,
                "invoice": typeid("ivc", one.invoice_id) if one.invoice_id else None,
                "line": typeid("ivl", one.line_id) if one.line_id else None,
                "partner": typeid("ptr", one.partner_id) if one.partner_id else None,
            }
            for one in found
        ],
    )


def _mrr(params: Params, key: str, query: Mapping[str, str]) -> Drill:
    subscriptions = mrr.counted_subscriptions(params.end).select_related("tenant", "billing_account")
    if params.by != "total":
        subscriptions = subscriptions.filter(_of_group(params, key, "tenant_id"))
    if query.get("row_currency"):  # an account has one currency, whatever phase its price is in
        subscriptions = subscriptions.filter(price_version__currency=query["row_currency"])
    prices = PriceVersion.objects.select_related("plan").in_bulk()

    def show(found: Sequence) -> list[dict]:
        rows = []
        for one in found:
            price = prices[one.price_at or one.price_version_id]
            rows.append(
                {
                    "subscription": one.public_id,
                    **_tenant(one.tenant),
                    "plan": price.plan.code,
                    "status": one.status,
                    "mrr": mrr.subscription_mrr(price, one.billing_account.discount_percent),
                    "currency": price.currency,
                    "started_at": one.started_at,
                }
            )
        return rows

    return Drill(subscriptions, show)


def _retention(params: Params, key: str, query: Mapping[str, str]) -> Drill:
    founded = queries.customers(born_before=params.end).filter(created_at__gte=params.start)
    if query.get("cohort"):
        cohort = _month(query["cohort"])
        founded = founded.filter(created_at__year=cohort.year, created_at__month=cohort.month)
    months: dict[UUID, list[str]] = {}
    for tenant, month in sorted(activity.active_months(params), key=lambda one: one[1]):
        months.setdefault(tenant, []).append(f"{month:%Y-%m}")
    return Drill(
        _in_group(founded, params, key),
        lambda found: [
            _tenant(one) | {"signed_up": one.created_at, "active_months": months.get(one.pk, [])} for one in found
        ],
    )


def _csat(params: Params, key: str, query: Mapping[str, str]) -> Drill:
    answers = activity.answers(params).select_related("tenant")
    if params.by == "month":
        month = _month(key)
        answers = answers.filter(month=month.date())
    elif params.by != "total":
        answers = answers.filter(_of_group(params, key, "tenant_id"))
    return Drill(
        answers,
        lambda found: [
            {"answer": one.public_id, **_tenant(one.tenant), "kind": one.kind, "score": one.score,
             "comment": one.comment, "answered_at": one.answered_at}
            for one in found
        ],
    )  # fmt: skip


def _in_group(tenants: QuerySet[Tenant], params: Params, key: str) -> QuerySet[Tenant]:
    return tenants if params.by == "total" else tenants.filter(_of_group(params, key, "pk"))


def _of_group(params: Params, key: str, column: str) -> Q:
    groups = queries.groups_of_tenants(params.by)
    if key == queries.NOBODY:
        return ~Q(**{f"{column}__in": [tenant for tenant, group in groups.items() if group != key]})
    return Q(**{f"{column}__in": [tenant for tenant, group in groups.items() if group == key]})


def _tenant(tenant: Tenant) -> dict:
    return {"tenant": tenant.public_id, "name": tenant.name}


def _month(text: str) -> datetime:
    try:
        return datetime.strptime(text, "%Y-%m")
    except ValueError as error:
        raise Invalid("A month is written 2026-01.", field="key") from error


_DRILLS: dict[str, Callable[[Params, str, Mapping[str, str]], Drill]] = {
    "paying-ratio": _paying,
    "funnel": _funnel,
    "channel-revenue": _revenue,
    "mrr": _mrr,
    "ltv": _mrr,
    "retention": _retention,
    "csat": _csat,
}
