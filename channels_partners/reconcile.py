"""This room's invariants: commissions follow from frozen terms, and every way of splitting revenue agrees."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from uuid import UUID

from django.db.models import F, Max, Q, Sum

from accounts.models import Tenant, TenantKind
from billing.models import InvoiceLine, ReversalLine
from channels_partners.models import (
    PAYABLE,
    Attribution,
    AttributionStatus,
    CommissionEntry,
    SettledLine,
    SettlementKind,
)
from channels_partners.reports import queries
from channels_partners.reports.params import Params
from channels_partners.services.commissions import entries_due
from millrace.kernel.models import LedgerEntry, OutboxEvent
from millrace.kernel.reconcile import LONGEST_LIST, Check, check

_NEWS = ("invoice.paid", "invoice.refunded", "invoice.dispute_lost", "invoice.dispute_won", "invoice.refund_failed")
_BEGINNING = datetime(2000, 1, 1, tzinfo=UTC)


@check("R5")
def r5() -> Check:
    """Commissions = frozen terms × settled commissionable lines − claw-backs, in the entries and in the ledger."""
    earning = Attribution.objects.filter(partner__isnull=False, terms_snapshot__isnull=False)
    differences: list[str] = []
    for attribution in earning.iterator():
        differences += _entries_that_differ(attribution)
    differences += _ledger_that_differs()
    differences += _lines_that_differ({one.tenant_id for one in earning})
    checked = CommissionEntry.objects.count()
    return Check("R5", "commissions = frozen terms × paid lines − claw-backs", checked, differences[:LONGEST_LIST])


@check("R6")
def r6() -> Check:
    """Revenue by channel = by stream = by tenant = by partner = the ledger's = billing's lines − what went back."""
    entries = LedgerEntry.objects.filter(queries.INCOME)
    # All of time, not "until now": Stripe dates the postings, and a clock that differs from ours must hide nothing.
    latest = entries.aggregate(at=Max("occurred_at"))["at"] or _BEGINNING
    end = latest + timedelta(days=1)
    ledger = {
        row["currency"]: -row["total"] for row in entries.values("currency").annotate(total=Sum("amount")).order_by()
    }
    differences = []
    for by in ("channel", "stream", "tenant", "partner", "campaign", "month"):
        sums: Counter[str] = Counter()
        for (_, currency), money in queries.income(Params(_BEGINNING, end, by)).items():
            sums[currency] += money["settled"] - money["refunds"] - money["disputes"]
        differences += _unequal(f"revenue by {by}", dict(sums), ledger)
    differences += _unequal("billing's settled lines", _billed(), ledger)
    attributed = Attribution.objects.values("tenant_id")
    income_of = entries.exclude(tenant_id__in=attributed).values_list("tenant_id", flat=True).distinct()
    nobodys = Tenant.objects.filter(pk__in=income_of, kind=TenantKind.CUSTOMER)
    differences += [f"customer {tenant.public_id} has revenue and no attribution" for tenant in nobodys[:LONGEST_LIST]]
    return Check("R6", "revenue by channel = by stream = by tenant = the ledger's", entries.count(), differences)


def _entries_that_differ(attribution: Attribution) -> list[str]:
    """The entries that the frozen terms call for, against those that stand."""
    due: Counter[tuple] = Counter()
    if attribution.status == AttributionStatus.BOUND:
        due = Counter(
            (one.line_id, one.kind, one.source_id, one.base, one.amount, one.currency)
            for one in entries_due(attribution)
        )
    standing = Counter(
        attribution.commission_entries.values_list("line_id", "kind", "source_id", "base_amount", "amount", "currency")
    )
    name = attribution.public_id
    return [
        f"{name}: {kind} of {amount} {currency} on line {line} is due and does not stand"
        for line, kind, _, _, amount, currency in due - standing
    ] + [
        f"{name}: {kind} of {amount} {currency} on line {line} stands and is not due"
        for line, kind, _, _, amount, currency in standing - due
    ]


def _ledger_that_differs() -> list[str]:
    rows = CommissionEntry.objects.values_list("partner_id", "currency").annotate(total=Sum("amount")).order_by()
    earned = {(partner, currency): total for partner, currency, total in rows}
    posted = LedgerEntry.objects.filter(account=PAYABLE, transaction__kind__startswith="commission.")
    sums = posted.values_list("partner_id", "currency").annotate(total=Sum("amount")).order_by()
    owed = {(partner, currency): -total for partner, currency, total in sums}
    return [
        f"partner {key[0]}: {earned.get(key, 0)} {key[1]} earned, {owed.get(key, 0)} posted"
        for key in sorted(earned.keys() | owed.keys(), key=str)
        if earned.get(key, 0) != owed.get(key, 0)
    ]


def _lines_that_differ(customers: set[UUID]) -> list[str]:
    """What was taken in of billing's news, against billing's own rows; news still on its way is left out."""
    waiting = OutboxEvent.objects.filter(topic__in=_NEWS, done_at__isnull=True, attempts=0)
    customers = customers - set(waiting.values_list("tenant_id", flat=True))
    paid = InvoiceLine.objects.filter(tenant_id__in=customers, invoice__settled_at__isnull=False)
    theirs = {key: amount - discount for key, amount, discount in paid.values_list("pk", "amount", "discount")}
    kept = SettledLine.objects.filter(tenant_id__in=customers)
    ours = dict(kept.filter(kind=SettlementKind.PAID).values_list("line_id", "amount"))
    back = ReversalLine.objects.filter(tenant_id__in=customers, invoice_line__isnull=False)
    gave = dict(back.values_list("invoice_line").annotate(total=Sum("amount")).order_by())
    failed = Q(kind=SettlementKind.REFUND_FAILED)
    sums = kept.exclude(kind=SettlementKind.PAID).values("line_id").order_by()
    sums = sums.annotate(went=Sum("amount", filter=~failed, default=0), came=Sum("amount", filter=failed, default=0))
    taken = {row["line_id"]: row["went"] - row["came"] for row in sums}
    return _differing("paid", theirs, ours) + _differing("gone back", gave, taken)


def _differing(what: str, theirs: dict[UUID, int], ours: dict[UUID, int]) -> list[str]:
    return [
        f"line {key}: {theirs.get(key, 0)} {what} by billing, {ours.get(key, 0)} taken in for commission"
        for key in sorted(theirs.keys() | ours.keys())
        if theirs.get(key) != ours.get(key)
    ]


def _billed() -> dict[str, int]:
    lines = InvoiceLine.objects.filter(invoice__settled_at__isnull=False).values("currency")
    sums: Counter[str] = Counter()
    for row in lines.annotate(total=Sum(F("amount") - F("discount"))).order_by():
        sums[row["currency"]] += row["total"]
    back = ReversalLine.objects.filter(invoice_line__isnull=False).values("invoice_line__currency")
    for reversal in back.annotate(total=Sum("amount")).order_by():
        sums[reversal["invoice_line__currency"]] -= reversal["total"]
    return dict(sums)


def _unequal(what: str, sums: dict[str, int], ledger: dict[str, int]) -> list[str]:
    return [
        f"{what}: {sums.get(currency, 0)} {currency}; the ledger has {ledger.get(currency, 0)}"
        for currency in sorted(sums.keys() | ledger.keys())
        if sums.get(currency, 0) != ledger.get(currency, 0)
    ]
