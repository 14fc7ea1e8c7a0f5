"""Binding customers to how they came."""

from datetime import timedelta
from decimal import Decimal
from uuid import UUID, uuid4

import pytest
from allauth.account.signals import user_signed_up
from django.db import transaction
from django.db.utils import ProgrammingError
from django.test import Client, RequestFactory

from accounts.models import User
from accounts.services.users import user_verify
from channels_partners.errors import NotHeld
from channels_partners.models import Attribution
from channels_partners.services.attributions import attribution_review
from channels_partners.services.clicks import visitor_identify
from channels_partners.services.deals import deal_register, deal_withdraw
from channels_partners.services.links import code_create, code_disable
from channels_partners.services.partners import partner_change
from millrace.kernel import clock, outbox, visitors
from millrace.kernel.models import AuditEntry, OutboxEvent
from millrace.kernel.tenancy import platform_scope
from tests.channels_partners.makers import (
    amounts_of,
    attribution_of,
    make_channel,
    make_link,
    make_partner,
    make_terms,
    pay,
    sign_up,
)
from tests.factories import SYSTEM, logged_in, make_tenant, make_user

pytestmark = pytest.mark.django_db


def visit(code: str) -> str:
    """Follow a link in a fresh browser; the visitor's id, as the sign-up page reads it from the cookie."""
    return str(visitors.visitor_id_in(cookie_of_visit(code)))


def cookie_of_visit(code: str) -> str:
    """The same; the signed cookie's value."""
    client = Client()
    client.get(f"/r/{code}", headers={"User-Agent": "Firefox"})
    return client.cookies[visitors.COOKIE].value


def test_nobody_brought_them() -> None:
    found = sign_up()

    assert (found.precedence, found.channel.slug, found.partner, found.status) == ("direct", "direct", None, "bound")


def test_a_click_binds_with_evidence_and_the_terms_of_that_day() -> None:
    partner = make_partner()
    link = make_link(partner, code="spring")
    found = sign_up(visitor_id=visit("spring"))
    partner_change(partner=partner, terms=make_terms(rate=Decimal("0.5")), actor=SYSTEM)

    found = attribution_of(found.tenant_id)

    assert (found.precedence, found.partner, found.link) == ("click", partner, link)
    assert found.terms_snapshot["rate"] == "0.200000"
    assert found.terms.version == 1
    assert found.evidence["candidates"][0]["id"] == found.click.public_id


def test_a_channels_own_link_binds_to_the_channel_without_a_partner() -> None:
    make_link(channel=make_channel("social", "social"), code="post")

    found = sign_up(visitor_id=visit("post"))

    assert (found.channel.slug, found.partner, found.terms) == ("social", None, None)


def test_a_coupon_beats_a_click_and_a_deal_beats_both() -> None:
    clicked, typed, dealt = (make_partner(name) for name in ("Clicked", "Typed", "Dealt"))
    make_link(clicked, code="spring")
    code_create(code="fair26", channel=typed.channel, partner=typed, actor=SYSTEM)
    visitor = visit("spring")

    assert sign_up(visitor_id=visitor, coupon=" Fair26 ").partner == typed
    deal_register(partner=dealt, company="Acme", domain="acme.test", actor=SYSTEM)
    assert sign_up("ann@acme.test", visitor_id=visitor, coupon="FAIR26").partner == dealt
    assert sign_up("ann@acme2.test", visitor_id=visitor, coupon="no-such-code").partner == clicked


def test_a_reseller_beats_everything() -> None:
    reseller, dealt = make_partner("Reseller", kind="reseller"), make_partner("Dealt")
    deal_register(partner=dealt, company="Acme", domain="acme.test", actor=SYSTEM)

    found = sign_up("ann@acme.test", reseller_partner_id=str(reseller.pk))

    assert (found.precedence, found.partner, found.terms) == ("reseller", reseller, None)


def test_a_withdrawn_deal_or_a_suspended_partner_wins_nobody() -> None:
    partner = make_partner()
    deal = deal_register(partner=partner, company="Acme", domain="acme.test", actor=SYSTEM)
    deal_withdraw(deal=deal, actor=SYSTEM)
    make_link(partner, code="spring")
    visitor = visit("spring")

    assert sign_up("ann@acme.test").precedence == "direct"
    partner_change(partner=partner, status="suspended", actor=SYSTEM)
    assert sign_up(visitor_id=visitor).precedence == "direct"


def test_late_news_finds_what_was_good_at_the_sign_up() -> None:
    partner = make_partner()
    deal = deal_register(partner=partner, company="Acme", domain="acme.test", actor=SYSTEM)
    code = code_create(code="FAIR26", channel=partner.channel, partner=partner, actor=SYSTEM)
    dealt = make_tenant(owner=make_user("ann@acme.test"))
    typed = make_tenant(owner=make_user("ann@bolt.test"), coupon="FAIR26")
    deal_withdraw(deal=deal, actor=SYSTEM)
    code_disable(code=code, actor=SYSTEM)
    outbox.drain()  # only now

    assert (attribution_of(dealt.pk).deal, attribution_of(typed.pk).code) == (deal, code)
    assert sign_up("ben@acme.test", coupon="FAIR26").precedence == "direct"


def test_an_old_click_does_not_count() -> None:
    make_link(make_partner(), code="spring")
    with clock.frozen(clock.now() - timedelta(days=31)):
        visitor = visit("spring")

    assert sign_up(visitor_id=visitor).precedence == "direct"


def test_c4_the_click_survives_verification_on_another_device() -> None:
    partner = make_partner()
    make_link(partner, code="spring")
    owner = make_user("ann@acme.test", verified=False)
    tenant = make_tenant(owner=owner, visitor_id=visit("spring"))
    Client().get("/")  # another browser, without cookies, opens the mailed link
    user_verify(user=owner)
    outbox.drain()

    assert attribution_of(tenant.pk).partner == partner


def test_c4_a_second_device_with_the_same_address_finds_the_click() -> None:
    partner = make_partner()
    make_link(partner, code="spring")
    visitor_identify(visitor_id=UUID(visit("spring")), email="ann@acme.test")

    found = sign_up("Ann@Acme.test")  # no cookie there: only the address is known

    assert (found.precedence, found.partner) == ("click", partner)


def test_c4_a_tenant_founded_later_and_elsewhere_still_finds_the_click_of_the_sign_up() -> None:
    make_link(make_partner(), code="spring")
    request, user = RequestFactory().get("/"), make_user("ann@acme.test")
    request.COOKIES[visitors.COOKIE] = cookie_of_visit("spring")
    user_signed_up.send(sender=object, request=request, user=user)  # as allauth does after OAuth and magic links too

    tenant = make_tenant(owner=user)
    outbox.drain()

    assert attribution_of(tenant.pk).precedence == "click"


def test_a_forged_visitor_is_nobody() -> None:
    make_link(make_partner(), code="spring")
    visit("spring")

    assert sign_up(visitor_id="not-a-cookie").precedence == "direct"


def test_c5_a_self_referral_is_held_earns_nothing_and_catches_up_when_approved(staff) -> None:
    partner = make_partner(email="boss@sensors.test")
    make_link(partner, code="spring")
    found = sign_up("second@sensors.test", visitor_id=visit("spring"))
    assert (found.status, found.held_reasons) == ("held", ["same_mail_domain"])
    pay(found.tenant_id, 1000)
    assert amounts_of(found) == []

    approved = attribution_review(attribution=found, decision="approve", actor=SYSTEM)

    referrer = logged_in(User.objects.get(email="second@sensors.test"))
    assert "attribution" not in referrer.get("/v1/audit-log").content.decode()
    with platform_scope(reason="look"):
        assert AuditEntry.objects.filter(target=found.public_id).count() == 2
    assert approved.status == "bound"
    assert amounts_of(found) == [200]
    with pytest.raises(NotHeld):
        attribution_review(attribution=found, decision="reject", actor=SYSTEM)


def test_c8_money_that_the_terms_cannot_reckon_does_not_stand_in_the_way_of_a_review() -> None:
    terms = make_terms(slug="bounty", kind="flat", rate=Decimal(0), flat={"CNY": 5000})
    partner = make_partner(email="boss@sensors.test", terms=terms)
    make_link(partner, code="spring")
    found = sign_up("second@sensors.test", visitor_id=visit("spring"))
    assert found.status == "held"
    pay(found.tenant_id, 1000, currency="USD")
    pay(found.tenant_id, 1000)

    attribution_review(attribution=found, decision="approve", actor=SYSTEM)

    assert amounts_of(found) == [5000]
    with platform_scope(reason="look"):
        assert "CurrencyNotInTerms" in OutboxEvent.objects.get(topic="invoice.paid", done_at=None).last_error


def test_c5_a_rejected_self_referral_never_earns() -> None:
    partner = make_partner(email="boss@sensors.test")
    make_link(partner, code="spring")
    found = sign_up("boss+2@sensors.test", visitor_id=visit("spring"))
    attribution_review(attribution=found, decision="reject", actor=SYSTEM)

    pay(found.tenant_id, 1000)

    assert amounts_of(found) == []


def test_one_attribution_a_tenant_however_often_it_is_announced() -> None:
    found = sign_up()
    with platform_scope(reason="a repeat"):
        payload = {"tenant_id": str(found.tenant_id), "kind": "customer", "email": "x@y.test", "coupon": "Z"}
        outbox.announce("tenant.created", tenant_id=found.tenant_id, payload=payload)
    outbox.drain()

    assert attribution_of(found.tenant_id) == found


def test_a_partners_own_organisation_is_not_attributed() -> None:
    make_partner()
    outbox.drain()

    with platform_scope(reason="look"):
        assert not Attribution.objects.exists()


@pytest.mark.parametrize("column", ["partner_id", "terms_snapshot", "evidence"])
def test_an_attribution_cannot_be_rewritten(column: str) -> None:
    found = sign_up()

    with platform_scope(reason="forge"), pytest.raises(ProgrammingError), transaction.atomic():
        value = uuid4() if column == "partner_id" else {"forged": True}
        Attribution.objects.filter(pk=found.pk).update(**{column: value})
