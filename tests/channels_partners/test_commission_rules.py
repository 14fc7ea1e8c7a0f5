"""The arithmetic of commissions."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID, uuid4

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from channels_partners.commission import Settled, Terms, add_months, clawed_back, entries_of
from channels_partners.errors import CurrencyNotInTerms
from millrace.kernel.money import allocate

AT = datetime(2026, 1, 28, tzinfo=UTC)
TWENTY = Terms("percent", rate=Decimal("0.2"), hold_days=30)


def paid(*amounts: int, at: datetime = AT, currency: str = "CNY", invoice: UUID | None = None) -> list[Settled]:
    invoice = invoice or uuid4()
    return [Settled("paid", invoice, invoice, uuid4(), amount, currency, at) for amount in amounts]


def back(line: Settled, amount: int, kind: str = "refunded") -> Settled:
    return Settled(kind, uuid4(), line.invoice_id, line.line_id, amount, line.currency, AT + timedelta(days=9))


def sent_back(refund: Settled) -> Settled:
    """The bank's news, later, that a refund could not be paid out."""
    return replace(refund, kind="refund_failed", at=refund.at + timedelta(days=5))


def amounts(terms: Terms, settled: list[Settled]) -> list[int]:
    return [entry.amount for entry in entries_of(terms, settled)]


@pytest.mark.parametrize(
    ("base", "rate", "earned"), [(1000, "0.2", 200), (12, "0.125", 2), (13, "0.1", 1), (5, "0.1", 1), (4, "0.1", 0)]
)
def test_percent_is_rounded_half_up_once_a_line(base: int, rate: str, earned: int) -> None:
    assert sum(amounts(Terms("percent", rate=Decimal(rate)), paid(base))) == earned


def test_flat_is_paid_once_an_invoice_and_split_by_amount() -> None:
    terms = Terms("flat", flat={"CNY": 100})

    assert amounts(terms, paid(300, 600)) == [33, 67]
    assert amounts(terms, paid(300) + paid(900)) == [100, 100]


def test_once_pays_for_the_first_invoice_that_earns_only() -> None:
    terms = Terms("percent", rate=Decimal("0.1"), duration="once")

    assert amounts(terms, paid(100, 200) + paid(400)) == [10, 20]


def test_months_count_from_the_first_paid_invoice_and_exclude_the_end() -> None:
    terms = Terms("percent", rate=Decimal("0.1"), duration="months", months=1)
    last_in, first_out = paid(100, at=add_months(AT, 1) - timedelta(seconds=1)), paid(100, at=add_months(AT, 1))

    assert amounts(terms, paid(100) + last_in + first_out) == [10, 10]


def test_c6_a_zero_trial_invoice_earns_nothing_and_does_not_use_up_the_term() -> None:
    terms = Terms("percent", rate=Decimal("0.1"), duration="once")

    assert amounts(terms, paid(0) + paid(500)) == [50]


def test_the_cap_bounds_what_one_customer_earns_claw_backs_deducted() -> None:
    terms = Terms("percent", rate=Decimal("0.5"), cap={"CNY": 120})
    first, second, third = paid(200), paid(200), paid(200)

    assert amounts(terms, first + second + third) == [100, 20]
    assert amounts(terms, [*first, *second, back(second[0], 200), *third]) == [100, 20, -20, 20]


def test_c8_an_amount_is_never_taken_for_one_of_another_currency() -> None:
    for terms in (Terms("flat", flat={"CNY": 100}), Terms("percent", rate=Decimal("0.1"), cap={"CNY": 100})):
        with pytest.raises(CurrencyNotInTerms):
            entries_of(terms, paid(1000, currency="USD"))


def test_a_claw_back_is_released_with_its_accrual() -> None:
    line = paid(1000)
    accrual, claw_back = entries_of(TWENTY, [*line, back(line[0], 500)])

    assert accrual.releases_at == claw_back.releases_at == AT + timedelta(days=30)
    assert (accrual.base, claw_back.base) == (1000, 500)


def test_c2_a_partial_refund_takes_its_share_and_no_more() -> None:
    line = paid(1000)

    assert amounts(TWENTY, [*line, back(line[0], 250)]) == [200, -50]


def test_c3_parts_of_a_refund_sum_to_what_was_accrued() -> None:
    line = paid(999)
    thirds = [back(line[0], 333) for _ in range(3)]

    assert sum(amounts(TWENTY, [*line, *thirds])) == 0
    assert sum(amounts(TWENTY, [*line, *thirds, back(line[0], 53)])) == 0  # a refund too many takes nothing more


def test_a_refund_that_is_told_before_the_payment_is_not_lost() -> None:
    line = paid(1000)

    assert amounts(TWENTY, [back(line[0], 250), *line]) == [200, -50]


def test_months_end_on_the_last_day_of_short_months() -> None:
    assert add_months(datetime(2026, 1, 31, tzinfo=UTC), 1) == datetime(2026, 2, 28, tzinfo=UTC)
    assert add_months(datetime(2025, 12, 15, tzinfo=UTC), 14) == datetime(2027, 2, 15, tzinfo=UTC)


@given(
    base=st.integers(1, 10**12), rate=st.decimals(0, 1, places=6), parts=st.lists(st.integers(0, 10**12), max_size=8)
)
def test_c1_claw_backs_never_exceed_what_was_accrued_and_a_full_refund_returns_all(
    base: int, rate: Decimal, parts: list[int]
) -> None:
    accrued = sum(amounts(Terms("percent", rate=rate), paid(base)))
    running, last = 0, 0
    for part in parts:
        running += part
        taken = clawed_back(accrued=accrued, base=base, refunded=running)
        assert last <= taken <= accrued
        last = taken
    assert clawed_back(accrued=accrued, base=base, refunded=base) == accrued


def given_back_by_billing(lines: list[Settled]) -> list[Settled]:
    """A full refund, as billing splits it: credit lowers what each charged line was really paid."""
    charged = [line for line in lines if line.amount > 0]
    credit = -sum(line.amount for line in lines if line.amount < 0)
    lowered = allocate(credit, [line.amount for line in charged]) if charged else []
    return [back(line, line.amount - less) for line, less in zip(charged, lowered, strict=True)]


invoices = st.lists(st.tuples(st.integers(-500, 10_000), st.booleans()), min_size=1, max_size=6)


@given(lines=invoices, rate=st.decimals(0, 1, places=4), flat=st.booleans())
def test_c1_c3_a_full_refund_leaves_nothing_even_with_credit_on_the_invoice(
    lines: list[tuple[int, bool]], rate: Decimal, flat: bool
) -> None:
    terms = Terms("flat", flat={"CNY": 777}) if flat else Terms("percent", rate=rate)
    invoice = [
        replace(line, commissionable=ok) for line, (_, ok) in zip(paid(*(a for a, _ in lines)), lines, strict=True)
    ]
    assume(sum(line.amount for line in invoice) >= 0)
    per_line: dict[UUID, int] = {}

    for entry in entries_of(terms, invoice + given_back_by_billing(invoice)):
        per_line[entry.line_id] = per_line.get(entry.line_id, 0) + entry.amount

    assert not any(per_line.values())


@given(
    lines=st.lists(st.integers(-500, 10_000), min_size=1, max_size=5),
    refunds=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 12_000), st.booleans()), max_size=6),
    cap=st.none() | st.integers(1, 5_000),
)
def test_what_is_written_never_has_to_change(
    lines: list[int], refunds: list[tuple[int, int, bool]], cap: int | None
) -> None:
    terms = Terms("percent", rate=Decimal("0.2"), cap={"CNY": cap} if cap else None)
    invoice = paid(*lines)
    went = [(back(invoice[index % len(lines)], amount), failed) for index, amount, failed in refunds]
    settled = invoice + [refund for refund, _ in went] + [sent_back(refund) for refund, failed in went if failed]
    whole = entries_of(terms, settled)

    for length in range(len(lines), len(settled) + 1):
        part = entries_of(terms, settled[:length])
        assert whole[: len(part)] == part
        assert 0 <= sum(entry.amount for entry in part) <= (cap or 10**9)


@given(base=st.integers(1, 10**9), shares=st.lists(st.integers(0, 100), min_size=1, max_size=5))
def test_refunds_that_all_fail_leave_the_commission_as_it_was(base: int, shares: list[int]) -> None:
    invoice = paid(base)
    refunds = [back(invoice[0], base * share // 100) for share in shares]

    entries = entries_of(TWENTY, invoice + refunds + [sent_back(one) for one in refunds])

    assert sum(entry.amount for entry in entries) == sum(amounts(TWENTY, invoice))


def test_a_reinstatement_stays_within_the_cap() -> None:
    terms = Terms("percent", rate=Decimal("0.2"), cap={"CNY": 100})
    first, second = paid(500), paid(500)
    refund = back(first[0], 500)

    assert amounts(terms, [*first, refund, *second, sent_back(refund)]) == [100, -100, 100]


def test_credit_lowers_the_base_and_lines_without_commission_earn_nothing() -> None:
    invoice = paid(1000, 1000, -200)
    invoice[1] = replace(invoice[1], commissionable=False)

    assert amounts(TWENTY, invoice) == [180]


def test_terms_survive_their_snapshot() -> None:
    terms = Terms("percent", Decimal("0.125000"), {}, "months", 12, {"CNY": 5}, 14)

    assert Terms.from_json(terms.as_json()) == terms
