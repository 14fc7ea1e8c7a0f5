"""Assume every operation runs at the same time as itself."""

from uuid import uuid4

import pytest

from channels_partners.errors import CodeTaken, DealTaken
from channels_partners.models import Attribution, Deal, Link
from channels_partners.services.attributions import attribution_bind
from channels_partners.services.commissions import commission_settle
from channels_partners.services.deals import deal_register
from channels_partners.services.links import code_create, link_create
from millrace.kernel import clock
from millrace.kernel.tenancy import platform_scope
from tests.channels_partners.makers import amounts_of, make_partner, make_terms, sign_up
from tests.factories import SYSTEM, make_tenant
from tests.threads import in_threads

pytestmark = pytest.mark.usefixtures("real_db")


def brought() -> Attribution:
    partner = make_partner()
    code_create(code="FAIR26", channel=partner.channel, partner=partner, actor=SYSTEM)
    return sign_up(coupon="FAIR26")


def test_one_payment_settled_by_many_workers_accrues_once() -> None:
    customer, invoice, line = brought(), uuid4(), uuid4()
    lines = [{"line_id": line, "amount": 1000, "currency": "CNY", "stream": "usage", "commissionable": True}]

    in_threads(
        4,
        lambda _: commission_settle(
            tenant_id=customer.tenant_id, kind="paid", source_id=invoice, invoice_id=invoice, lines=lines,
            at=clock.now(),
        )
    )  # fmt: skip

    assert amounts_of(customer) == [200]


def test_refunds_at_once_take_back_what_was_accrued_and_no_more() -> None:
    customer, invoice, line = brought(), uuid4(), uuid4()
    paid = [{"line_id": line, "amount": 999, "currency": "CNY", "stream": "usage", "commissionable": True}]
    part = [{**paid[0], "amount": 333}]

    def settle(kind: str, source: object, lines: list) -> None:
        commission_settle(
            tenant_id=customer.tenant_id, kind=kind, source_id=source, invoice_id=invoice, lines=lines, at=clock.now()
        )

    settle("paid", invoice, paid)
    answers = in_threads(3, lambda _: settle("refunded", uuid4(), part))

    assert answers == [None, None, None]
    assert sum(amounts_of(customer)) == 0
    assert len(amounts_of(customer)) == 4


def test_one_company_is_registered_by_one_partner() -> None:
    partners = [make_partner(f"P{number}") for number in range(4)]

    answers = in_threads(
        4, lambda number: deal_register(partner=partners[number], company="Acme", domain="acme.test", actor=SYSTEM)
    )

    assert Deal.objects.count() == 1
    assert sum(isinstance(answer, DealTaken) for answer in answers) == 3


def test_one_code_makes_one_link() -> None:
    partner = make_partner()

    answers = in_threads(
        4, lambda _: link_create(channel=partner.channel, partner=partner, code="spring", actor=SYSTEM)
    )

    assert Link.objects.count() == 1
    assert sum(isinstance(answer, CodeTaken) for answer in answers) == 3


def test_terms_published_at_one_moment_are_versions_one_after_the_other() -> None:
    versions = in_threads(4, lambda _: make_terms(slug="agents").version)

    assert sorted(versions, key=str) == [1, 2, 3, 4]


def test_a_tenant_is_bound_once() -> None:
    tenant = make_tenant()

    in_threads(
        4,
        lambda _: attribution_bind(
            tenant_id=tenant.pk, email="", user_id=None, visitor_id=None, coupon="", reseller_partner_id=None,
            at=clock.now(), actor=SYSTEM,
        )
    )  # fmt: skip

    with platform_scope(reason="look"):
        assert Attribution.objects.filter(tenant=tenant).count() == 1
