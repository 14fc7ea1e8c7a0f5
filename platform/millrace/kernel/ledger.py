"""Double entry: every posting sums to zero in each currency, and is safe to repeat.

The database holds the rule too: a trigger refuses an INSERT of entries that do not balance, and the tables take no
UPDATE or DELETE. A correction is a new posting.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.db.models import Sum

from millrace.kernel.ids import uuid7
from millrace.kernel.models import LedgerEntry, LedgerTransaction


class Unbalanced(ValueError):
    """The lines do not sum to zero in some currency; nothing was posted."""


@dataclass(frozen=True, slots=True)
class Line:
    """One side: a debit is positive, a credit negative, in minor units."""

    account: str
    amount: int
    currency: str
    tenant_id: UUID | None = None
    partner_id: UUID | None = None
    invoice_id: UUID | None = None
    line_id: UUID | None = None


def post(*, key: str, kind: str, at: datetime, lines: Sequence[Line], memo: str = "") -> LedgerTransaction:
    """Write a balanced transaction once. The same `key` again returns the first and changes nothing.

    Zero lines are dropped. Call it in the transaction of the event it records, in the platform's scope.
    """
    sums: Counter[str] = Counter()
    for line in lines:
        sums[line.currency] += line.amount
    if any(sums.values()):
        raise Unbalanced(f"{key}: {dict(sums)}")
    with transaction.atomic():
        posted = LedgerTransaction(key=key, kind=kind, occurred_at=at, memo=memo)
        # The key is claimed and the entries written in one transaction: a crash between them leaves neither (M1).
        created = LedgerTransaction.objects.bulk_create([posted], ignore_conflicts=True)[0]
        stored = LedgerTransaction.objects.get(key=key)
        if stored.pk != created.pk:
            return stored
        LedgerEntry.objects.bulk_create(
            LedgerEntry(
                id=uuid7(),
                transaction=stored,
                account=line.account,
                currency=line.currency,
                amount=line.amount,
                occurred_at=at,
                tenant_id=line.tenant_id,
                partner_id=line.partner_id,
                invoice_id=line.invoice_id,
                line_id=line.line_id,
            )
            for line in lines
            if line.amount
        )
    return stored


def balance(account: str, currency: str, **dimensions: object) -> int:
    """The sum of an account's entries, in minor units; `dimensions` narrow it (tenant_id=…, partner_id=…)."""
    entries = LedgerEntry.objects.filter(account=account, currency=currency, **dimensions)
    return entries.aggregate(total=Sum("amount"))["total"] or 0
