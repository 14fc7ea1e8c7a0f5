"""Commissions, from billing's news to the ledger."""

from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from django.db import transaction
from django.db.utils import ProgrammingError

from channels_partners.models import EXPENSE, PAYABLE, Attribution, CommissionEntry
from channels_partners.selectors import Balance, partner_balances
from channels_partners.services.links import code_create
from millrace.kernel import clock, ledger, outbox
from millrace.kernel.models import OutboxEvent
from millrace.kernel.tenancy import platform_scope
from tests.channels_partners.makers import amounts_of, announce, make_partner, make_terms, pay, refund, sign_up
from tests.factories import SYSTEM

pytestmark = pytest.mark.django_db


@pytest.fixture
def customer() -> Attribution:
    """A customer whom a partner brought, at 20 % with 30 hold days."""
    return brought_by(make_partner())


def brought_by(partner) -> Attribution:
    code = f"C{uuid4().hex[:8]}"
    code_create(code=code, channel=partner.channel, partner=partner, actor=SYSTEM)
    return sign_up(coupon=code)


def payable(customer: Attribution, currency: str = "CNY") -> int:
    with platform_scope(reason="look"):
        owed = -ledger.balance(PAYABLE, currency, partner_id=customer.partner_id)
        assert owed == ledger.balance(EXPENSE, currency, tenant_id=customer.tenant_id)
        return owed


def test_a_paid_invoice_accrues_on_each_commissionable_line(customer: Attribution) -> None:
    invoice = pay(customer.tenant_id, 1000, 503)

    assert amounts_of(customer) == [200, 101]
    assert payable(customer) == 301
    with platform_scope(reason="look"):
        entry = CommissionEntry.objects.order_by("id").first()
    assert str(entry.invoice_id) == invoice["invoice_id"]
    assert entry.releases_at - entry.occurred_at == timedelta(days=30)


def test_lines_without_commission_earn_nothing(customer: Attribution) -> None:
    invoice = {"lines": [{"line_id": str(uuid4()), "tenant_id": str(customer.tenant_id), "stream": "services",
                          "amount": 1000, "commissionable": False}]}  # fmt: skip
    pay(customer.tenant_id, **invoice)

    assert amounts_of(customer) == []


def test_c7_a_gift_earns_nothing_and_what_is_paid_beside_it_does(customer: Attribution) -> None:
    pay(customer.tenant_id, 1000, -1000)
    assert amounts_of(customer) == []

    pay(customer.tenant_id, 1000, -400)

    assert amounts_of(customer) == [120]


def test_c5_the_same_payment_told_twice_earns_once(customer: Attribution) -> None:
    news = pay(customer.tenant_id, 1000)
    announce("invoice.paid", customer.tenant_id, news)

    assert amounts_of(customer) == [200]
    assert payable(customer) == 200


def test_c1_a_lost_dispute_takes_the_commission_back(customer: Attribution) -> None:
    invoice = pay(customer.tenant_id, 1000, 503)
    refund(invoice, 1000, 503, topic="invoice.dispute_lost")

    assert amounts_of(customer) == [200, 101, -200, -101]
    assert payable(customer) == 0


def test_a_dispute_that_is_won_on_appeal_gives_the_commission_again_once(customer: Attribution) -> None:
    invoice = pay(customer.tenant_id, 1000, 503)
    lost = refund(invoice, 1000, 503, topic="invoice.dispute_lost")
    for _ in range(2):
        announce("invoice.dispute_won", customer.tenant_id, lost)

    assert amounts_of(customer) == [200, 101, -200, -101, 200, 101]
    assert payable(customer) == 301


def test_c2_a_partial_refund_takes_back_its_share(customer: Attribution) -> None:
    invoice = pay(customer.tenant_id, 1000, 500)
    refund(invoice, 250)

    assert amounts_of(customer) == [200, 100, -50]
    assert payable(customer) == 250


def test_c3_refunds_in_parts_return_exactly_what_was_accrued_and_never_more(customer: Attribution) -> None:
    invoice = pay(customer.tenant_id, 5300)
    for part in (1767, 1767, 1766):
        news = refund(invoice, part)
        announce("invoice.refunded", customer.tenant_id, news)
    refund(invoice, 5300, topic="invoice.dispute_lost")

    assert sum(amounts_of(customer)) == 0
    assert payable(customer) == 0


def test_c6_a_trials_zero_invoice_earns_nothing_and_the_later_payment_does() -> None:
    customer = brought_by(make_partner(terms=make_terms(slug="once", duration="once")))
    pay(customer.tenant_id, 0)
    assert amounts_of(customer) == []

    pay(customer.tenant_id, 1000)
    pay(customer.tenant_id, 1000)

    assert amounts_of(customer) == [200]


def test_a_refund_that_is_told_first_waits_for_the_payment(customer: Attribution) -> None:
    line, invoice = str(uuid4()), str(uuid4())
    lines = [{"line_id": line, "tenant_id": str(customer.tenant_id), "stream": "usage", "amount": 1000,
              "commissionable": True}]  # fmt: skip
    refund({"invoice_id": invoice, "tenant_id": str(customer.tenant_id), "currency": "CNY", "lines": lines}, 500)
    assert amounts_of(customer) == []

    pay(customer.tenant_id, invoice_id=invoice, lines=lines)

    assert sorted(amounts_of(customer)) == [-100, 200]


def test_an_invoice_that_is_told_before_the_sign_up_is_told_again(customer: Attribution) -> None:
    from tests.factories import make_tenant

    tenant = make_tenant()
    with platform_scope(reason="hide the sign-up's news for now"):
        OutboxEvent.objects.filter(tenant=tenant).update(available_at=clock.now() + timedelta(hours=1))
    pay(tenant.pk, 1000)

    with platform_scope(reason="look"):
        waiting = OutboxEvent.objects.get(topic="invoice.paid", tenant=tenant)
        assert waiting.done_at is None
        assert "AttributionMissing" in waiting.last_error
    for hours in (2, 3):
        with clock.frozen(clock.now() + timedelta(hours=hours)):
            outbox.drain()
    with platform_scope(reason="look"):
        assert OutboxEvent.objects.get(pk=waiting.pk).done_at is not None


def test_c8_terms_without_an_amount_in_the_currency_post_nothing_and_say_so() -> None:
    customer = brought_by(make_partner(terms=make_terms(slug="flat", kind="flat", rate=0, flat={"CNY": 5000})))
    pay(customer.tenant_id, 1000, currency="USD")

    assert amounts_of(customer) == []
    with platform_scope(reason="look"):
        assert "CurrencyNotInTerms" in OutboxEvent.objects.get(topic="invoice.paid").last_error


def test_each_currency_has_a_balance_of_its_own(customer: Attribution) -> None:
    pay(customer.tenant_id, 1000)
    pay(customer.tenant_id, 1000, currency="USD")

    assert [(one.currency, one.total) for one in partner_balances(customer.partner)] == [("CNY", 200), ("USD", 200)]


def test_commission_is_held_for_the_hold_days_claw_backs_deducted(customer: Attribution) -> None:
    early = pay(customer.tenant_id, 1000, paid_at=clock.now() - timedelta(days=31))
    late = pay(customer.tenant_id, 500)
    refund(late, 250)

    assert partner_balances(customer.partner) == [Balance("CNY", 250, 50)]
    assert partner_balances(customer.partner)[0].available == 200
    refund(early, 1000)
    assert partner_balances(customer.partner)[0].available == 0


def test_one_invoice_for_many_customers_pays_each_ones_partner(customer: Attribution) -> None:
    other = brought_by(make_partner("Second"))
    lines = [
        {"line_id": str(uuid4()), "tenant_id": str(one.tenant_id), "stream": "usage", "amount": 1000,
         "commissionable": True}
        for one in (customer, other)
    ]  # fmt: skip
    pay(customer.tenant_id, lines=lines)

    assert amounts_of(customer) == amounts_of(other) == [200]


@pytest.mark.parametrize("change", ["update", "delete"])
def test_entries_are_append_only(customer: Attribution, change: str) -> None:
    pay(customer.tenant_id, 1000)

    with platform_scope(reason="forge"), pytest.raises(ProgrammingError), transaction.atomic():
        rows = CommissionEntry.objects.filter(partner_id=UUID(int=customer.partner_id.int))
        rows.update(amount=1) if change == "update" else rows.delete()
