"""Commissions: what billing announces about money becomes settled lines, and these become entries and postings.

Every write here happens under the lock of the customer's attribution, so that news about one customer is folded in
one order whoever delivers it.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.db.models import Max

from accounts.models import Tenant, TenantKind
from channels_partners.commission import Entry, Settled, Terms, entries_of
from channels_partners.errors import AttributionMissing
from channels_partners.models import (
    EXPENSE,
    PAYABLE,
    Attribution,
    AttributionStatus,
    CommissionEntry,
    SettledLine,
    SettlementKind,
)
from millrace.kernel import ledger
from millrace.kernel.tenancy import platform_scope


def commission_settle(
    *, tenant_id: UUID, kind: str, source_id: UUID, invoice_id: UUID, lines: Sequence[dict], at: datetime
) -> list[CommissionEntry]:
    """Take in what happened to one customer's lines, `[{line_id, amount, currency, stream, commissionable}]` in
    ex-tax minor units, and write the entries that follow. Safe to repeat. Answers the new entries.

    AttributionMissing when the customer is not bound yet, CurrencyNotInTerms when the terms name no amount in the
    lines' currency: the news comes again later.
    """
    with platform_scope(reason="commissions are the platform's"), transaction.atomic():
        attribution = _locked(tenant_id)
        if attribution is None or attribution.partner_id is None or attribution.terms_snapshot is None:
            return []
        told = SettledLine.objects.filter(
            line_id__in=[line["line_id"] for line in lines], kind=kind, source_id=source_id
        )
        known = set(told.values_list("line_id", flat=True))
        last = attribution.settled_lines.aggregate(last=Max("sequence"))["last"] or 0
        fresh = [line for line in lines if line["line_id"] not in known]
        SettledLine.objects.bulk_create(
            SettledLine(
                tenant_id=tenant_id,
                attribution=attribution,
                sequence=last + number,
                kind=kind,
                source_id=source_id,
                invoice_id=invoice_id,
                line_id=line["line_id"],
                stream=line["stream"],
                amount=line["amount"],
                currency=line["currency"],
                commissionable=line["commissionable"],
                occurred_at=at,
            )
            for number, line in enumerate(fresh, start=1)
        )
        if attribution.status == AttributionStatus.HELD:
            entries_due(attribution)  # what the terms cannot reckon is refused now, and not when somebody approves
        return commission_catch_up(attribution=attribution)


def commission_catch_up(*, attribution: Attribution) -> list[CommissionEntry]:
    """Write and post the entries that the attribution's settled lines call for and that are not written yet; none
    while it is not bound. The caller holds the attribution's lock and the transaction."""
    partner_id = attribution.partner_id
    if attribution.status != AttributionStatus.BOUND or attribution.terms_snapshot is None or partner_id is None:
        return []
    written = set(attribution.commission_entries.values_list("line_id", "kind", "source_id"))
    due = [one for one in entries_due(attribution) if (one.line_id, one.kind, one.source_id) not in written]
    rows = [
        CommissionEntry(
            attribution=attribution,
            partner_id=partner_id,
            kind=one.kind,
            source_id=one.source_id,
            invoice_id=one.invoice_id,
            line_id=one.line_id,
            base_amount=one.base,
            amount=one.amount,
            currency=one.currency,
            period=one.at.date().replace(day=1),
            occurred_at=one.at,
            releases_at=one.releases_at,
        )
        for one in due
    ]
    CommissionEntry.objects.bulk_create(rows)
    for row in rows:
        _post(row, attribution)
    return rows


def entries_due(attribution: Attribution) -> list[Entry]:
    """All entries that the frozen terms make of the attribution's settled lines, written or not."""
    settled = [
        Settled(
            one.kind,
            one.source_id,
            one.invoice_id,
            one.line_id,
            one.amount,
            one.currency,
            one.occurred_at,
            one.commissionable,
        )
        for one in attribution.settled_lines.order_by("sequence")
    ]
    return entries_of(Terms.from_json(attribution.terms_snapshot or {}), settled)


def settled_customers(invoice_id: UUID, line_ids: Sequence[UUID]) -> dict[UUID, tuple[UUID, str, str]]:
    """Of an invoice's lines, those whose payment was taken in: line → (customer, currency, stream)."""
    paid = SettledLine.objects.filter(invoice_id=invoice_id, line_id__in=line_ids, kind=SettlementKind.PAID)
    return {one.line_id: (one.tenant_id, one.currency, one.stream) for one in paid}


def _locked(tenant_id: UUID) -> Attribution | None:
    found = Attribution.objects.select_for_update(of=("self",)).filter(tenant_id=tenant_id).first()
    if found is None and Tenant.objects.filter(pk=tenant_id, kind=TenantKind.CUSTOMER).exists():
        raise AttributionMissing(f"Tenant {tenant_id} is not attributed yet.")
    return found


def _post(row: CommissionEntry, attribution: Attribution) -> None:
    """The entry's posting: expense against what is owed to the partner, in the ledger of the day it became known."""
    at = max(row.occurred_at, attribution.reviewed_at or row.occurred_at)
    dimensions = {
        "tenant_id": attribution.tenant_id, "partner_id": row.partner_id, "invoice_id": row.invoice_id,
        "line_id": row.line_id,
    }  # fmt: skip
    ledger.post(
        key=f"commission:{row.pk}",
        kind=f"commission.{row.kind}",
        at=at,
        lines=[
            ledger.Line(EXPENSE, row.amount, row.currency, **dimensions),
            ledger.Line(PAYABLE, -row.amount, row.currency, **dimensions),
        ],
        memo=row.public_id,
    )
