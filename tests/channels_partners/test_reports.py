"""Reports on real rows: they agree with the ledger, and drill to what they are made of."""

import csv
import io
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from uuid import UUID, uuid4

import pytest
from openpyxl import load_workbook

from accounts.models import User
from accounts.services.tenants import tenant_set_state
from billing.services.usage import usage_record
from channels_partners.models import Channel, SurveyKind
from channels_partners.reports import export
from channels_partners.services.channels import campaign_create, spend_record
from channels_partners.services.links import code_create
from channels_partners.services.surveys import survey_answer
from millrace.kernel import clock, ledger
from millrace.kernel.audit import Actor
from millrace.kernel.ledger import Line
from millrace.kernel.money import Money
from millrace.kernel.tenancy import platform_scope, tenant_scope
from tests.channels_partners.makers import make_channel, make_link, make_partner, pay, refund, sign_up
from tests.factories import SYSTEM, logged_in, make_member, make_tenant

pytestmark = pytest.mark.django_db


class Ops:
    """Staff at the reports' door."""

    def __init__(self, user: User) -> None:
        self.client = logged_in(user)

    def report(self, name: str, **query: str) -> list[dict]:
        answer = self.client.get(f"/v1/ops/reports/{name}", query)
        assert answer.status_code == 200, answer.content
        return answer.json()["rows"]

    def row(self, name: str, group: str, **query: str) -> dict:
        return next(row for row in self.report(name, **query) if row["group"] == group)

    def drill(self, address: str) -> list[dict]:
        answer = self.client.get(address)
        assert answer.status_code == 200, answer.content
        return answer.json()["data"]


@pytest.fixture
def ops(staff: User) -> Ops:
    return Ops(staff)


def settle(tenant_id: UUID, amount: int, *, currency: str = "CNY", stream: str = "usage", days_ago: int = 0) -> dict:
    """A paid invoice: in the ledger as billing posts it, and told to partners."""
    at = clock.now() - timedelta(days=days_ago)
    invoice = pay(tenant_id, amount, currency=currency, paid_at=at)
    dims = {"tenant_id": tenant_id, "invoice_id": UUID(invoice["invoice_id"])}
    _post([Line("stripe:clearing", amount, currency), Line(f"revenue:{stream}", -amount, currency, **dims)], at)
    return invoice


def give_back(invoice: dict, amount: int, account: str = "refunds:usage") -> None:
    """A refund of it, or a lost dispute, now."""
    refund(invoice, amount, topic="invoice.refunded" if account.startswith("refunds") else "invoice.dispute_lost")
    dims = {"tenant_id": UUID(invoice["tenant_id"]), "invoice_id": UUID(invoice["invoice_id"])}
    currency = invoice["currency"]
    _post([Line("stripe:clearing", -amount, currency), Line(account, amount, currency, **dims)], clock.now())


def _post(lines: list[Line], at) -> None:
    with platform_scope(reason="billing"):
        ledger.post(key=f"test:{uuid4()}", kind="test", at=at, lines=lines)


def come_by(channel: Channel, partner=None, campaign=None, **fields: str):
    """A customer that a channel's (or partner's) code brought."""
    code = f"C{uuid4().hex[:8]}"
    code_create(code=code, channel=channel, partner=partner, campaign=campaign, actor=SYSTEM)
    return sign_up(coupon=code, **fields)


def test_the_paying_ratio_counts_verified_users_of_open_customers_only(ops: Ops) -> None:
    payer, free = sign_up("payer@a.test"), sign_up("free@b.test")
    partner = make_partner()
    closed = sign_up("gone@c.test")
    with platform_scope(reason="test data"):
        colleague = make_member(payer.tenant, "colleague@a.test")
        make_member(free.tenant, "us@millrace.test").is_staff = True
        User.objects.filter(email="us@millrace.test").update(is_staff=True)
        User.objects.filter(pk=make_member(free.tenant, "unverified@b.test").pk).update(verified_at=None)
        tenant_set_state(tenant_id=closed.tenant_id, state="closed", actor=SYSTEM)
    settle(payer.tenant_id, 1000)
    settle(partner.organisation_id, 1000)

    row = ops.row("paying-ratio", "total", by="total")

    assert colleague.pk
    assert (row["users"], row["paying_users"]) == (3, 2)  # the payer, its colleague and the free one
    assert (row["tenants"], row["paying_tenants"], row["tenant_ratio"]) == (2, 1, "0.500000")
    drilled = ops.drill(row["drill"])
    assert {one["tenant"] for one in drilled if one["paying"]} == {payer.tenant.public_id}
    assert sum(one["users"] for one in drilled) == 3


def test_paying_is_net_of_refunds_and_of_the_last_30_days(ops: Ops) -> None:
    refunded, old, partly = sign_up(), sign_up(), sign_up()
    give_back(settle(refunded.tenant_id, 1000), 1000)
    settle(old.tenant_id, 1000, days_ago=31)
    give_back(settle(partly.tenant_id, 1000), 999)

    row = ops.row("paying-ratio", "total", by="total")

    assert (row["tenants"], row["paying_tenants"]) == (3, 1)


def test_the_cohort_ratio_waits_from_sign_up_to_the_first_payment(ops: Ops) -> None:
    with clock.frozen(clock.now() - timedelta(days=40)):
        late, never = sign_up(), sign_up()
    settle(late.tenant_id, 1000, days_ago=20)
    assert never

    start = (clock.now() - timedelta(days=41)).date().isoformat()
    row = ops.row("paying-ratio", "total", **{"by": "total", "from": start})

    assert (row["signups"], row["paid_within_7"], row["paid_within_30"]) == (2, "0.000000", "0.500000")


def test_channel_revenue_agrees_with_the_ledger_by_every_grouping(ops: Ops) -> None:
    social, partner = make_channel("social", "social"), make_partner()
    campaign = campaign_create(channel=social, slug="posts", name="Posts", actor=SYSTEM)
    first = come_by(social, campaign=campaign)
    second = come_by(partner.channel, partner)
    third = sign_up()
    settle(first.tenant_id, 5000, stream="subscription")
    give_back(settle(second.tenant_id, 3000), 600)
    give_back(settle(second.tenant_id, 1000), 1000, "disputes:usage")
    settle(third.tenant_id, 700, currency="USD")
    spend_record(channel=social, spent=Money(2500, "CNY"), spent_on=clock.now().date(), actor=SYSTEM)

    by_channel = {row["group"]: row for row in ops.report("channel-revenue", currency="CNY")}

    assert by_channel["social"]["revenue"] == 5000
    assert (by_channel["social"]["spend"], by_channel["social"]["cac"]) == (2500, "2500.000000")
    agents = by_channel["agents"]
    assert (agents["settled"], agents["refunds"], agents["disputes_lost"], agents["revenue"]) == (4000, 600, 1000, 2400)
    assert (agents["accrued"], agents["clawed_back"], agents["net"]) == (800, 320, 1920)
    assert (agents["new_paying"], agents["cac"]) == (1, "480.000000")
    assert (by_channel["social"]["name"], agents["name"]) == (social.name, partner.channel.name)
    assert ops.row("channel-revenue", "posts", by="campaign")["name"] == "Posts"
    for by in ("total", "channel", "partner", "campaign", "stream", "tenant", "month"):
        rows = ops.report("channel-revenue", by=by)
        assert sum(row["revenue"] for row in rows if row["currency"] == "CNY") == 7400, by
        assert sum(row["revenue"] for row in rows if row["currency"] == "USD") == 700, by
        for row in rows:
            entries = ops.drill(row["drill"])
            income = sum(one["amount"] for one in entries if one["account"] != "commission:expense")
            assert income == row["revenue"], (by, row)
            costs = -sum(one["amount"] for one in entries if one["account"] == "commission:expense")
            assert costs == row["accrued"] - row["clawed_back"] if by != "stream" else costs == 0


def test_the_funnel_follows_a_cohort_from_clicks_to_paying(ops: Ops) -> None:
    partner = make_partner()
    make_link(partner, code="spring")
    for _ in range(3):
        logged = ops.client.__class__()
        logged.get("/r/spring", headers={"User-Agent": "Firefox"})
    payer, user, idle = (come_by(partner.channel, partner) for _ in range(3))
    unverified = make_tenant(name="Unverified")
    for customer in (payer, user):
        with tenant_scope(customer.tenant_id):
            usage_record(
                tenant_id=customer.tenant_id, meter="cpu_ms", quantity=5, occurred_at=clock.now(), key="k",
                job_id=uuid4(),
            )  # fmt: skip
    settle(payer.tenant_id, 1000)
    assert idle
    assert unverified

    row = ops.row("funnel", partner.public_id, by="partner")

    stages = [row[stage] for stage in ("clicks", "signups", "verified", "trial", "first_job", "paying")]
    assert stages == [3, 3, 3, 2, 2, 1]
    assert row["name"] == partner.name
    assert row["trial_conversion"] == "0.500000"
    assert sum(one["paying"] is not None for one in ops.drill(row["drill"])) == 1
    assert {one["link"] for one in ops.drill(row["drill_clicks"])} == {"spring"}
    total = ops.row("funnel", "total", by="total")
    assert (total["signups"], total["verified"]) == (4, 3)


def test_csat_and_nps_drill_to_their_answers(ops: Ops) -> None:
    customer = sign_up()
    with platform_scope(reason="test data"):
        for number in range(10):
            actor = Actor(f"user:{number}")
            survey_answer(tenant_id=customer.tenant_id, kind="csat", score=5 if number < 9 else 2, actor=actor)
            survey_answer(tenant_id=customer.tenant_id, kind=SurveyKind.NPS, score=10 if number < 6 else 0, actor=actor)

    row = ops.row("csat", "direct", by="channel")

    assert (row["answers"], row["csat"], row["nps"]) == (10, "0.900000", "20.000000")
    assert len(ops.drill(row["drill"])) == 20
    month = ops.report("csat", by="month")[0]
    assert len(ops.drill(month["drill"])) == 20


def test_retention_counts_tenants_that_worked_in_each_month(ops: Ops) -> None:
    with clock.frozen(clock.now().replace(day=1) - timedelta(days=40)):
        worker, _ = sign_up(), sign_up()
        born = clock.now()
        with tenant_scope(worker.tenant_id):
            usage_record(tenant_id=worker.tenant_id, meter="predictions", quantity=1, occurred_at=born, key="p")
    with tenant_scope(worker.tenant_id):
        usage_record(tenant_id=worker.tenant_id, meter="cpu_ms", quantity=1, occurred_at=clock.now(), key="j",
                     job_id=uuid4())  # fmt: skip

    rows = ops.report("retention", **{"by": "total", "from": born.date().replace(day=1).isoformat()})

    assert [(row["month"], row["active"], row["retention"]) for row in rows] == [
        (0, 1, "0.500000"), (1, 0, "0.000000"), (2, 1, "0.500000"),
    ]  # fmt: skip
    assert sorted(len(one["active_months"]) for one in ops.drill(rows[0]["drill"])) == [0, 2]


def test_a_period_that_ends_with_a_month_says_nothing_of_the_next(ops: Ops) -> None:
    with clock.frozen(datetime(2026, 1, 20, tzinfo=UTC)):
        sign_up()

    with clock.frozen(datetime(2026, 2, 1, tzinfo=UTC)):  # the very midnight: the month by default is January
        assert ops.client.get("/ops/").status_code == 200
        assert ops.row("paying-ratio", "total", by="total")["signups"] == 1
        assert ops.row("paying-ratio", "total", by="total", to="2026-02-01")["signups"] == 1
        assert [row["month"] for row in ops.report("retention", by="total")] == [0]


def test_metered_revenue_stands_beside_no_mrr_at_all(ops: Ops) -> None:
    settle(sign_up().tenant_id, 700)
    settle(sign_up().tenant_id, 500, currency="USD")

    rows = ops.report("mrr", by="total")

    assert [(row["currency"], row["mrr"], row["usage_revenue"]) for row in rows] == [("CNY", 0, 700), ("USD", 0, 500)]
    assert [row["currency"] for row in ops.report("mrr", by="total", currency="USD")] == ["USD"]


def test_what_partners_say_is_not_customers_satisfaction(ops: Ops) -> None:
    partner = make_partner()
    with platform_scope(reason="test data"):
        survey_answer(tenant_id=partner.organisation_id, kind="csat", score=5, actor=SYSTEM)

    assert ops.report("csat", by="total") == []


def test_reports_name_their_definitions_and_export_safely(ops: Ops) -> None:
    partner = make_partner(name="=HYPERLINK(1)")
    settle(come_by(partner.channel, partner).tenant_id, 1000)

    answer = ops.client.get("/v1/ops/reports/channel-revenue", {"by": "partner", "format": "csv"})

    assert answer["Content-Type"].startswith("text/csv")
    rows = list(csv.reader(io.StringIO(answer.content.decode())))
    assert rows[0] == ["report", "channel-revenue", "definitions", "2026-01"]
    assert rows[3][1] == "'=HYPERLINK(1)"
    assert ops.client.get("/v1/ops/reports/csat").json()["definitions"] == "2026-01"


def test_a_report_is_a_workbook_of_figures_and_text(ops: Ops) -> None:
    partner = make_partner(name="=Sensors & <Controls>\x07")
    settle(come_by(partner.channel, partner).tenant_id, 1000)

    report = ops.client.get("/v1/ops/reports/channel-revenue", {"by": "partner", "format": "xlsx"})
    rows = ops.client.get(
        "/v1/ops/reports/channel-revenue/rows", {"by": "partner", "key": partner.public_id, "format": "xlsx"}
    )

    assert report["Content-Disposition"] == 'attachment; filename="channel-revenue.xlsx"'
    heading, _, names, first = cells_of(report.content)
    assert [cell for cell in heading if cell] == ["report", "channel-revenue", "definitions", "2026-01"]
    shown = dict(zip(names, first, strict=True))
    # The format's own spelling of a character that XML has no place for.
    assert (shown["name"], shown["revenue"], shown["accrued"]) == ("=Sensors & <Controls>_x0007_", 1000, 200)
    assert shown["cac"] == 200
    names, *entries = cells_of(rows.content)
    assert sorted(entry[names.index("amount")] for entry in entries) == [-200, 1000]


def cells_of(content: bytes) -> list[list[object]]:
    """The rows of a workbook's only sheet, as another library reads them: a formula would say so."""
    sheet = load_workbook(io.BytesIO(content)).worksheets[0]
    assert not [cell for row in sheet.iter_rows() for cell in row if cell.data_type == "f"]
    return [list(row) for row in sheet.iter_rows(values_only=True)]


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", "\t=1", "\r=1", "|cmd"])
def test_no_cell_is_a_formula(text: str) -> None:
    assert export.cell(text) == f"'{text}"
    assert export.cell(-5) == -5


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("nothing", 404, "not_found"),
        ("nothing/rows?key=x", 404, "not_found"),
        ("csat?format=pdf", 422, "report_unknown"),
        ("csat?by=moon", 422, "report_unknown"),
        ("csat?from=yesterday", 422, "invalid"),
        ("csat?from=2026-13-41", 422, "invalid"),
        ("csat?from=2026-02-02&to=2026-02-01", 422, "invalid"),
        ("mrr?currency=ABC", 422, "currency_unknown"),
        ("csat/rows", 422, "invalid"),
        ("csat/rows?by=month&key=never", 422, "invalid"),
        ("channel-revenue/rows?by=month&key=never", 422, "invalid"),
        ("channel-revenue/rows?by=partner&key=ptr_x", 404, "not_found"),
        ("channel-revenue/rows?by=channel&key=%00", 422, "invalid"),
        ("channel-revenue/rows?by=channel&key=direct&row_currency=%00", 422, "currency_unknown"),
        ("retention/rows?by=total&key=total&cohort=%00", 422, "invalid"),
        ("paying-ratio?to=0001-01-02", 422, "invalid"),
        ("paying-ratio?to=0001-01-01T00:00:00%2B14:00", 422, "invalid"),
        ("paying-ratio?from=9999-01-01&to=9999-12-31", 422, "invalid"),
    ],
)
def test_nonsense_is_a_problem(ops: Ops, path: str, status: int, code: str) -> None:
    answer = ops.client.get(f"/v1/ops/reports/{path}")

    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer["Content-Type"] == "application/problem+json"


def test_reports_do_not_exist_for_others(alice: User, api: SimpleNamespace) -> None:
    assert api.get("/v1/ops/reports/csat").status_code == 404
    assert logged_in(alice).get("/v1/ops/reports/csat/rows", {"key": "total"}).status_code == 404
