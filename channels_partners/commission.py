"""What a partner earns on a customer's settled lines. Pure, exact, no database.

`entries_of` folds everything that happened to one customer's lines, in the order the news came, into commission
entries. It is a function of its input alone: the service writes those of its entries that are not written yet, and
reconciliation folds again and compares. So news may come twice or out of order, and a held attribution catches up
when it is released.

- Percent: base × rate, rounded half away from zero once a line. Flat: the agreed amount once an invoice, split over
  its commissionable lines by amount.
- Lines of credit (negative ones) lower what the charged lines were really paid, in proportion; that is each line's base,
  and what billing gives back in a full refund.
- An invoice earns only if its commissionable bases sum to more than zero: a trial's zero invoice earns nothing and
  neither starts nor uses up the term (C6).
- The term starts with the first invoice that earns. `once` is that invoice; `months` are calendar months from its
  payment, the end excluded; `lifetime` does not end.
- The cap bounds the sum of all entries, claw-backs deducted.
- A refund that failed at the bank later reinstates what it had clawed back.
- Claw-backs follow the refunded share of the line's base. They are rounded on the cumulative share, so that the parts
  of a full refund sum to what was accrued, to the cent, and no refund takes back more (C1, C2, C3).
"""

import calendar
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import groupby
from uuid import UUID

from channels_partners.errors import CurrencyNotInTerms
from millrace.kernel.money import allocate, round_minor


@dataclass(frozen=True, slots=True)
class Terms:
    """Frozen terms; see `TermsVersion` for the meaning and units of each."""

    kind: str
    rate: Decimal = Decimal(0)
    flat: Mapping[str, int] = field(default_factory=dict)
    duration: str = "lifetime"
    months: int | None = None
    cap: Mapping[str, int] | None = None
    hold_days: int = 0

    def as_json(self) -> dict:
        """The snapshot that an attribution keeps."""
        return {
            "kind": self.kind, "rate": str(self.rate), "flat": dict(self.flat), "duration": self.duration,
            "months": self.months, "cap": dict(self.cap) if self.cap is not None else None,
            "hold_days": self.hold_days,
        }  # fmt: skip

    @classmethod
    def from_json(cls, snapshot: Mapping) -> "Terms":
        """The terms behind a snapshot."""
        return cls(**{**snapshot, "rate": Decimal(snapshot["rate"])})


@dataclass(frozen=True, slots=True)
class Settled:
    """A line paid, refunded, lost or kept: `kind` is paid, refunded, dispute_lost or refund_failed; amounts are positive
    ex-tax minor units."""

    kind: str
    source_id: UUID
    invoice_id: UUID
    line_id: UUID
    amount: int
    currency: str
    at: datetime
    commissionable: bool = True


@dataclass(frozen=True, slots=True)
class Entry:
    """One movement of commission: accrual (+), claw_back (−) or reinstatement (+), on `base` minor units of the line."""

    kind: str
    source_id: UUID
    invoice_id: UUID
    line_id: UUID
    base: int
    amount: int
    currency: str
    at: datetime
    releases_at: datetime


@dataclass(slots=True)
class _Line:
    """What is known of one line so far."""

    base: int
    accrued: int
    currency: str
    releases_at: datetime
    refunded: int = 0
    clawed: int = 0

    @property
    def back(self) -> int:
        """What of the base is back with the customer."""
        return max(0, min(self.refunded, self.base))


def entries_of(terms: Terms, settled: Sequence[Settled]) -> list[Entry]:
    """All entries that the terms make of the settled lines, in order. CurrencyNotInTerms when a flat amount or cap is
    not agreed in a line's currency."""
    fold = _Fold(terms)
    for (kind, _), group in groupby(settled, key=lambda one: (one.kind, one.source_id)):
        if kind == "paid":
            fold.pay(list(group))
        else:
            for one in group:
                fold.refund(one)
    return fold.entries


def add_months(at: datetime, months: int) -> datetime:
    """The same day and time `months` calendar months later, or that month's last day where it is shorter."""
    years, month = divmod(at.month - 1 + months, 12)
    year = at.year + years
    day = min(at.day, calendar.monthrange(year, month + 1)[1])
    return at.replace(year=year, month=month + 1, day=day)


def clawed_back(*, accrued: int, base: int, refunded: int) -> int:
    """How much of `accrued` a cumulative refund of `refunded` out of `base` takes back: rounded half up, all of it for
    a full refund or more."""
    if base == 0:
        return 0
    share = min(Fraction(refunded, base), Fraction(1))
    return int(share * accrued + Fraction(1, 2))


class _Fold:
    """The running state over one customer's settled lines."""

    def __init__(self, terms: Terms) -> None:
        self.terms = terms
        self.entries: list[Entry] = []
        self.lines: dict[UUID, _Line] = {}
        self.early_refunds: dict[UUID, list[Settled]] = {}
        self.first_invoice: UUID | None = None
        self.starts_at: datetime | None = None
        self.net: dict[str, int] = {}

    def pay(self, lines: list[Settled]) -> None:
        """An invoice was paid: accrue on each of its lines, and then take back what was refunded before the news."""
        bases = _bases(lines)
        earns = sum(bases) > 0 and self._within_term(lines[0])
        amounts = self._amounts(bases, lines[0].currency) if earns else [0] * len(lines)
        if earns and self.first_invoice is None:
            self.first_invoice, self.starts_at = lines[0].invoice_id, lines[0].at
        for one, base, wanted in zip(lines, bases, amounts, strict=True):
            amount = min(wanted, self._room(one.currency)) if earns else 0
            releases_at = one.at + timedelta(days=self.terms.hold_days)
            self.lines[one.line_id] = _Line(base, amount, one.currency, releases_at)
            self._enter("accrual", one, base, amount, self.lines[one.line_id])
            for refund in self.early_refunds.pop(one.line_id, []):
                self.refund(refund)

    def refund(self, refund: Settled) -> None:
        """Part of a line's money went back, or failed to: take back, or give again, that part of its commission."""
        line = self.lines.get(refund.line_id)
        if line is None:
            self.early_refunds.setdefault(refund.line_id, []).append(refund)
            return
        failed = refund.kind == "refund_failed"
        before = line.back
        line.refunded += -refund.amount if failed else refund.amount
        taken = clawed_back(accrued=line.accrued, base=line.base, refunded=line.back) - line.clawed
        if taken < 0:  # within the cap, of which another invoice may have used up what the claw-back freed
            taken = -min(-taken, self._room(refund.currency))
        line.clawed += taken
        self._enter("reinstatement" if failed else "claw_back", refund, abs(line.back - before), -taken, line)

    def _enter(self, kind: str, one: Settled, base: int, amount: int, line: _Line) -> None:
        if amount == 0:
            return
        self.net[line.currency] = self.net.get(line.currency, 0) + amount
        self.entries.append(
            Entry(
                kind, one.source_id, one.invoice_id, one.line_id, base, amount, line.currency, one.at, line.releases_at
            )
        )  # fmt: skip

    def _within_term(self, line: Settled) -> bool:
        if self.starts_at is None or self.terms.duration == "lifetime" or line.invoice_id == self.first_invoice:
            return True
        if self.terms.duration == "once":
            return False
        return line.at < add_months(self.starts_at, self.terms.months or 0)

    def _amounts(self, bases: list[int], currency: str) -> list[int]:
        if self.terms.kind == "percent":
            return [round_minor(base * self.terms.rate) for base in bases]
        return allocate(self._agreed(self.terms.flat, currency), bases)

    def _room(self, currency: str) -> int:
        if self.terms.cap is None:
            return 2**63
        return max(0, self._agreed(self.terms.cap, currency) - self.net.get(currency, 0))

    @staticmethod
    def _agreed(amounts: Mapping[str, int], currency: str) -> int:
        if currency not in amounts:
            raise CurrencyNotInTerms(f"The terms name no amount in {currency}.", currency=currency)
        return amounts[currency]


def _bases(lines: Sequence[Settled]) -> list[int]:
    """What each line of an invoice earns on, in minor units: what was really paid for it, nothing for a line of credit
    or one without commission."""
    charged = [max(one.amount, 0) for one in lines]
    credit = min(-sum(min(one.amount, 0) for one in lines), sum(charged))
    lowered = allocate(credit, charged)
    return [
        amount - less if one.commissionable else 0 for one, amount, less in zip(lines, charged, lowered, strict=True)
    ]
