"""The ledger balances, repeats safely, and forgets nothing."""

from datetime import UTC, datetime

import pytest
from django.db import transaction
from django.db.utils import IntegrityError, ProgrammingError

from millrace.kernel import ledger
from millrace.kernel.ledger import Line
from millrace.kernel.models import LedgerEntry, LedgerTransaction
from millrace.kernel.tenancy import platform_scope

AT = datetime(2026, 1, 5, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _platform(db: None):
    with platform_scope(reason="test"):
        yield


def sale(amount: int = 1200) -> list[Line]:
    return [Line("stripe:clearing", amount, "CNY"), Line("revenue:usage", -amount, "CNY")]


def test_posting_moves_both_accounts() -> None:
    ledger.post(key="invoice:1", kind="invoice.paid", at=AT, lines=sale())

    assert ledger.balance("stripe:clearing", "CNY") == 1200
    assert ledger.balance("revenue:usage", "CNY") == -1200


def test_the_same_key_posts_once() -> None:
    first = ledger.post(key="invoice:1", kind="invoice.paid", at=AT, lines=sale())
    second = ledger.post(key="invoice:1", kind="invoice.paid", at=AT, lines=sale())

    assert first == second
    assert LedgerEntry.objects.count() == 2


def test_an_unbalanced_posting_is_refused_and_leaves_nothing() -> None:
    with pytest.raises(ledger.Unbalanced):
        ledger.post(key="bad", kind="x", at=AT, lines=[Line("a", 5, "CNY"), Line("b", -5, "USD")])

    assert not LedgerTransaction.objects.exists()


def test_the_database_refuses_unbalanced_entries_too() -> None:
    parent = LedgerTransaction.objects.create(key="bad", kind="x", occurred_at=AT)

    with pytest.raises(IntegrityError, match="sum to zero"), transaction.atomic():
        LedgerEntry.objects.create(transaction=parent, account="a", currency="CNY", amount=5, occurred_at=AT)


@pytest.mark.parametrize("change", ["update", "delete"])
def test_history_is_append_only(change: str) -> None:
    ledger.post(key="invoice:1", kind="invoice.paid", at=AT, lines=sale())

    with pytest.raises(ProgrammingError, match="Cannot"), transaction.atomic():
        rows = LedgerEntry.objects.all()
        rows.update(amount=1) if change == "update" else rows.delete()
