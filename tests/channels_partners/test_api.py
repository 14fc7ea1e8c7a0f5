"""The partner's and the staff's doors."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import Invitation, Tenant, User
from channels_partners.models import Attribution, ChannelSpend, Deal, Link, Partner
from channels_partners.services.deals import deal_register
from channels_partners.services.links import code_create
from channels_partners.services.partners import partner_change
from millrace.kernel import clock
from millrace.kernel.tenancy import platform_scope
from tests.channels_partners.makers import (
    door,
    make_channel,
    make_link,
    make_partner,
    make_terms,
    pay,
    sign_up,
)
from tests.factories import SYSTEM, ApiClient, logged_in, make_user

pytestmark = pytest.mark.django_db


def bring(partner: Partner, **fields: str) -> Attribution:
    code = f"C{uuid4().hex[:8]}"
    code_create(code=code, channel=partner.channel, partner=partner, actor=SYSTEM)
    return sign_up(coupon=code, **fields)


def test_a_partner_reads_its_terms_and_balances() -> None:
    partner = make_partner()
    pay(bring(partner).tenant_id, 1000)

    answer = door(partner).get("/v1/partner").json()

    assert (answer["id"], answer["kind"], answer["terms"]["rate"]) == (partner.public_id, "agent", "0.200000")
    assert answer["balances"] == [{"currency": "CNY", "total": 200, "held": 200, "available": 0}]


def test_a_partner_makes_lists_and_disables_links_and_codes() -> None:
    api = door(make_partner())

    link = api.post("/v1/partner/links", {"code": "spring", "destination": "/pricing"}, key="k1")
    again = api.post("/v1/partner/links", {"code": "spring", "destination": "/pricing"}, key="k1")
    code = api.post("/v1/partner/codes", {"code": "fair26"})

    assert (link.status_code, again.headers["Idempotent-Replayed"]) == (201, "true")
    assert link.json()["url"].endswith("/r/spring")
    assert code.json()["code"] == "FAIR26"
    assert [row["code"] for row in api.get("/v1/partner/links").json()["data"]] == ["spring"]
    assert api.post(f"/v1/partner/links/{link.json()['id']}/disable").json()["disabled_at"]
    assert api.post(f"/v1/partner/codes/{code.json()['id']}/disable").json()["disabled_at"]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"destination": "https://evil.test"}, 422, "destination_invalid"),
        ({"code": "a b"}, 422, "invalid"),
        ({"code": "taken"}, 409, "code_taken"),
        ({"campaign": "nobodys"}, 422, "invalid"),
        ({"unknown": 1}, 422, "invalid"),
    ],
)
def test_a_link_that_cannot_be_is_refused_and_nothing_changes(body: dict, status: int, code: str) -> None:
    make_link(code="taken")

    answer = door(make_partner()).post("/v1/partner/links", body)

    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert Link.objects.count() == 1


def test_a_partner_registers_a_deal_once_and_withdraws_it() -> None:
    api, rival = door(make_partner()), door(make_partner("Rival"))

    deal = api.post("/v1/partner/deals", {"company": "Acme", "domain": "Acme.test"}).json()

    assert deal["domain"] == "acme.test"
    assert rival.post("/v1/partner/deals", {"company": "Acme", "domain": "acme.test"}).json()["code"] == "deal_taken"
    person = {"company": "Acme", "email": "ann@acme.test"}
    assert rival.post("/v1/partner/deals", person).json()["code"] == "deal_taken"
    assert api.post("/v1/partner/deals", {"company": "X", "domain": "gmail.com"}).status_code == 422
    assert api.post(f"/v1/partner/deals/{deal['id']}/withdraw").json()["withdrawn_at"]
    assert rival.post("/v1/partner/deals", person).status_code == 201
    assert Deal.objects.count() == 2


def test_a_partner_sees_its_customers_as_far_as_it_may() -> None:
    partner, affiliate = make_partner(), make_partner("Affiliate", kind="affiliate")
    customer, masked = bring(partner, name="Acme"), bring(affiliate, name="Bolt Works")
    pay(customer.tenant_id, 1000)

    rows = door(partner).get("/v1/partner/referrals").json()["data"]

    assert [(row["name"], row["came_by"], row["status"], row["verified"]) for row in rows] == [
        ("Acme", "coupon", "bound", True)
    ]
    assert rows[0]["commission"] == [{"amount": 200, "currency": "CNY"}]
    assert "tenant" not in rows[0]
    assert masked
    assert [row["name"] for row in door(affiliate).get("/v1/partner/referrals").json()["data"]] == ["B…"]
    entries = door(partner).get("/v1/partner/commissions").json()["data"]
    assert [(row["kind"], row["amount"]["amount"], row["base"]["amount"]) for row in entries] == [
        ("accrual", 200, 1000)
    ]
    assert door(affiliate).get("/v1/partner/commissions").json()["data"] == []


@pytest.mark.parametrize("path", ["/v1/partner/referrals", "/v1/partner/commissions"])
def test_a_longer_list_costs_no_more_queries(path: str) -> None:
    partner = make_partner()
    for _ in range(3):
        pay(bring(partner).tenant_id, 1000)
    api = door(partner)
    api.get("/v1/partner")  # the key's first use is noted

    with CaptureQueriesContext(connection) as one:
        assert len(api.get(path, limit=1).json()["data"]) == 1
    with CaptureQueriesContext(connection) as three:
        assert len(api.get(path, limit=3).json()["data"]) == 3

    assert len(three) == len(one)


def test_a_partners_report_is_its_own_funnel() -> None:
    partner, other = make_partner(), make_partner("Other")
    pay(bring(partner).tenant_id, 1000)
    pay(bring(other).tenant_id, 5000)

    report = door(partner).get("/v1/partner/report").json()

    assert (report["signups"], report["clicks"]) == (1, 0)
    assert report["earnings"] == [{"currency": "CNY", "accrued": 200, "clawed_back": 0}]


def test_a_strangers_things_are_not_found() -> None:
    mine, theirs = make_partner(), make_partner("Other")
    link = make_link(theirs)
    code = code_create(code="THEIRS", channel=theirs.channel, partner=theirs, actor=SYSTEM)
    deal = deal_register(partner=theirs, company="Acme", domain="acme.test", actor=SYSTEM)
    api = door(mine)

    for path in (
        f"links/{link.public_id}/disable",
        f"codes/{code.public_id}/disable",
        f"deals/{deal.public_id}/withdraw",
    ):
        assert api.post(f"/v1/partner/{path}").status_code == 404
    assert Link.objects.get().disabled_at is None


def test_an_organisation_that_is_no_partner_is_told_so(partner_user: User) -> None:
    answer = logged_in(partner_user).get("/v1/partner")

    assert (answer.status_code, answer.json()["code"]) == (403, "not_a_partner")
    agent = door(make_partner(), "reseller").get("/v1/reseller/tenants")
    assert (agent.status_code, agent.json()["code"]) == (403, "not_a_partner")


def test_a_suspended_partner_reads_on_and_changes_nothing() -> None:
    partner = make_partner()
    api = door(partner)
    partner_change(partner=partner, status="suspended", actor=SYSTEM)

    refused = api.post("/v1/partner/links", {"code": "spring"})

    assert (refused.status_code, refused.json()["code"]) == (403, "not_a_partner")
    assert api.get("/v1/partner").json()["status"] == "suspended"
    assert not Link.objects.exists()


def test_customers_rate_once_a_month(api: ApiClient, tenant: Tenant) -> None:
    last_day = datetime(2026, 1, 31, 23, tzinfo=UTC)
    with clock.frozen(last_day):
        first = api.post("/v1/surveys/csat", {"score": 5, "comment": "fine"})
        again = api.post("/v1/surveys/csat", {"score": 1})

        assert (first.status_code, first.json()["score"]) == (201, 5)
        assert (again.status_code, again.json()["code"]) == (409, "already_answered")
        assert api.post("/v1/surveys/nps", {"score": 0}).status_code == 201
        for score in (0, 6, "x", None):
            assert api.post("/v1/surveys/csat", {"score": score}).status_code == 422
    with clock.frozen(last_day + timedelta(hours=1)):
        assert api.post("/v1/surveys/csat", {"score": 2}).status_code == 201


class Staff:
    """Staff at their doors."""

    def __init__(self, user: User) -> None:
        self.client = logged_in(user)

    def post(self, path: str, body: dict, status: int = 201) -> dict:
        answer = self.client.post(f"/v1/ops/{path}", body, content_type="application/json")
        assert answer.status_code == status, answer.content
        return answer.json()


def test_staff_set_up_channels_terms_and_partners(staff: User) -> None:
    ops = Staff(staff)
    ops.post("channels", {"slug": "fairs", "name": "Fairs", "kind": "event"})
    ops.post("campaigns", {"slug": "sps26", "name": "SPS 2026", "channel": "fairs", "click_window_days": 60})
    ops.post("spend", {"channel": "fairs", "campaign": "sps26", "spent": {"amount": 100, "currency": "CNY"},
                       "spent_on": "2026-01-05"})  # fmt: skip
    ops.post("links", {"channel": "fairs", "campaign": "sps26", "code": "sps"})
    ops.post("codes", {"channel": "fairs", "code": "sps26"})
    terms = ops.post("terms", {"slug": "agents", "kind": "percent", "rate": "0.15", "hold_days": 14})
    partner = ops.post("partners", {"name": "Sensor Partners", "kind": "agent", "channel": "fairs",
                                    "owner_email": "boss@sensors.test", "terms": terms["id"]})  # fmt: skip

    changed = ops.client.patch(
        f"/v1/ops/partners/{partner['id']}", {"status": "suspended"}, content_type="application/json"
    )

    assert partner["terms"]["rate"] == "0.150000"
    assert changed.json()["status"] == "suspended"
    with platform_scope(reason="look"):
        assert Invitation.objects.get().email == "boss@sensors.test"
        assert Partner.objects.get().organisation.kind == "partner"
    for path in ("channels", "campaigns", "spend", "links", "codes", "terms", "partners"):
        assert ops.client.get(f"/v1/ops/{path}").json()["data"], path


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("terms", {"slug": "x", "kind": "percent"}),
        ("terms", {"slug": "x", "kind": "percent", "rate": "1.5"}),
        ("terms", {"slug": "x", "kind": "flat", "flat": {"XXX": 1}}),
        ("terms", {"slug": "x", "kind": "percent", "rate": "0.1", "cap": {}}),
        ("terms", {"slug": "x", "kind": "flat", "flat": {"CNY": 1}, "duration": "months"}),
        ("campaigns", {"slug": "x", "name": "x", "channel": "nowhere"}),
        ("partners", {"name": "x", "kind": "agent", "channel": "nowhere", "owner_email": "x@y.test"}),
        ("channels", {"slug": "x", "name": "x", "kind": "smoke-signals"}),
    ],
)
def test_staffs_nonsense_is_refused(staff: User, path: str, body: dict) -> None:
    Staff(staff).post(path, body, status=422)


def test_staff_without_a_tenant_repeat_a_request_safely(staff: User) -> None:
    make_channel("fairs", "event")
    spend = {"channel": "fairs", "spent": {"amount": 100, "currency": "CNY"}, "spent_on": "2026-01-05"}
    colleague = make_user("colleague@millrace.test", is_staff=True)

    answers = [
        logged_in(user).post(
            "/v1/ops/spend", spend, content_type="application/json", headers={"Idempotency-Key": "january"}
        )
        for user in (staff, staff, colleague)
    ]

    assert [answer.status_code for answer in answers] == [201] * 3
    assert [answer.headers.get("Idempotent-Replayed") for answer in answers] == [None, "true", None]
    assert answers[0].json() == answers[1].json()
    assert ChannelSpend.objects.count() == 2


def test_staff_review_what_is_held(staff: User) -> None:
    ops, partner = Staff(staff), make_partner(email="boss@sensors.test")
    code_create(code="MINE", channel=partner.channel, partner=partner, actor=SYSTEM)
    held = sign_up("me@sensors.test", coupon="MINE")
    sign_up()

    rows = ops.client.get("/v1/ops/attributions", {"status": "held"}).json()["data"]

    assert [(row["id"], row["held_reasons"]) for row in rows] == [(held.public_id, ["same_mail_domain"])]
    assert ops.post(f"attributions/{held.public_id}/review", {"decision": "maybe"}, status=422)
    assert ops.post(f"attributions/{held.public_id}/review", {"decision": "approve"}, status=200)["status"] == "bound"
    answer = ops.post(f"attributions/{held.public_id}/review", {"decision": "reject"}, status=409)
    assert answer["code"] == "attribution_not_held"
    assert ops.client.get("/v1/ops/attributions", {"status": "odd"}).status_code == 422


def test_a_flat_partner_earns_by_its_terms_of_then() -> None:
    terms = make_terms(slug="bounty", kind="flat", rate=Decimal(0), flat={"CNY": 5000}, duration="once")
    partner = make_partner(channel=make_channel("fairs", "event"), terms=terms)
    customer = bring(partner)
    pay(customer.tenant_id, 100, 300)
    pay(customer.tenant_id, 100)

    balances = door(partner).get("/v1/partner").json()["balances"]

    assert balances[0]["total"] == 5000
