"""Billing's doors: what they answer, what they refuse, and that refused means nothing changed."""

from datetime import timedelta
from types import SimpleNamespace

import pytest

from accounts.models import Tenant
from billing.models import Meter, TenantBilling, UsageEvent
from billing.services.catalogue import catalogue_seed
from billing.services.usage import meter_register, usage_record
from millrace.kernel import clock
from millrace.kernel.ids import typeid, uuid7
from millrace.kernel.tenancy import platform_scope, tenant_scope
from tests.billing.factories import make_billing, make_invoice, make_subscription
from tests.factories import SYSTEM, ApiClient, api_client, logged_in, make_tenant, make_user


@pytest.fixture
def shop(api: ApiClient, tenant: Tenant) -> SimpleNamespace:
    """Alice's tenant with billing, a catalogue and one meter of its own."""
    prices = catalogue_seed()
    make_billing(tenant)
    with tenant_scope(tenant.pk):
        meter_register(tenant_id=tenant.pk, name="stamps", actor=SYSTEM)
    return SimpleNamespace(api=api, tenant=tenant, prices=prices)


def event(**changes: object) -> dict:
    base = {"meter": "own:stamps", "quantity": 5, "occurred_at": clock.now().isoformat(), "idempotency_key": "a"}
    return base | changes


def test_plans_are_public_and_cheapest_first(shop: SimpleNamespace) -> None:
    answer = ApiClient().get("/v1/plans")

    plans = answer.json()["data"]
    assert [plan["plan"] for plan in plans] == ["free", "starter", "pro", "studio"]
    assert plans[1]["recurring"] == {"amount": 29_900, "currency": "CNY"}
    assert ApiClient().get("/v1/plans", currency="USD").json() == {"data": []}
    assert ApiClient().get("/v1/plans", currency="XXX").status_code == 422
    assert logged_in(make_user("nobodys@example.com")).get("/v1/plans").json()["data"] == plans


def test_usage_events_answer_by_their_place(shop: SimpleNamespace) -> None:
    batch = [
        event(),
        event(),
        event(quantity=6),
        event(idempotency_key="b", quantity=-1),
        event(idempotency_key="c"),
    ]

    answer = shop.api.post("/v1/usage-events", {"events": batch})

    body = answer.json()
    assert (answer.status_code, body["accepted"], body["duplicates"], body["refused"]) == (200, 2, 2, 1)
    assert [one["status"] for one in body["data"]] == ["accepted", "duplicate", "duplicate", "refused", "accepted"]
    assert body["data"][2]["differs"] is True
    assert body["data"][3]["code"] == "quantity_out_of_range"
    again = shop.api.post("/v1/usage-events", {"events": batch}).json()
    assert (again["accepted"], again["duplicates"], again["refused"]) == (0, 4, 1)
    with tenant_scope(shop.tenant.pk):
        assert UsageEvent.objects.count() == 2


@pytest.mark.parametrize(
    ("changes", "code", "field"),
    [
        ({"meter": "gpu_ms"}, "meter_unknown", "meter"),  # the platform's own meters are the platform's to count
        ({"meter": "own:unheard-of"}, "meter_unknown", "meter"),
        ({"meter": 7}, "meter_invalid", "meter"),
        ({"quantity": -1}, "quantity_out_of_range", "quantity"),
        ({"quantity": 10**15 + 1}, "quantity_out_of_range", "quantity"),
        ({"quantity": 2**70}, "quantity_out_of_range", "quantity"),
        ({"quantity": 1.5}, "quantity_invalid", "quantity"),
        ({"quantity": "1"}, "quantity_invalid", "quantity"),
        ({"quantity": True}, "quantity_invalid", "quantity"),
        ({"occurred_at": "0000-01-01T00:00:00Z"}, "occurred_at_invalid", "occurred_at"),
        ({"occurred_at": "9999-12-31T23:59:59Z"}, "time_out_of_range", "occurred_at"),
        ({"occurred_at": "0001-01-01T00:00:00+23:59"}, "time_out_of_range", "occurred_at"),
        ({"occurred_at": "2026-01-01T00:00:00"}, "time_without_zone", "occurred_at"),
        ({"occurred_at": "yesterday"}, "occurred_at_invalid", "occurred_at"),
        ({"idempotency_key": ""}, "key_invalid", "idempotency_key"),
        ({"idempotency_key": "x" * 161}, "key_invalid", "idempotency_key"),
        ({"properties": []}, "properties_invalid", "properties"),
        ({"properties": {"x": "y" * 5000}}, "properties_too_large", "properties"),
        ({"unexpected": 1}, "event_invalid", "events"),
    ],
)
def test_impossible_events_are_refused_one_by_one(shop: SimpleNamespace, changes: dict, code: str, field: str) -> None:
    answer = shop.api.post("/v1/usage-events", {"events": [event(**changes), event(idempotency_key="good")]})

    assert answer.status_code == 200
    refused, accepted = answer.json()["data"]
    assert (refused["status"], refused["code"], refused["field"]) == ("refused", code, field)
    assert accepted["status"] == "accepted"
    with tenant_scope(shop.tenant.pk):
        assert UsageEvent.objects.get().key == "good"


@pytest.mark.parametrize("offset", [timedelta(days=-36), timedelta(minutes=6)])
def test_events_too_old_or_ahead_are_refused(shop: SimpleNamespace, offset: timedelta) -> None:
    answer = shop.api.post("/v1/usage-events", {"events": [event(occurred_at=(clock.now() + offset).isoformat())]})

    assert answer.json()["data"][0]["code"] == ("too_old" if offset < timedelta(0) else "in_future")


@pytest.mark.parametrize(
    "body", [{}, {"events": []}, {"events": {}}, {"events": [{}] * 1001}, [], {"events": [event()], "more": 1}]
)
def test_a_body_that_is_no_batch_is_refused_whole(shop: SimpleNamespace, body: object) -> None:
    answer = shop.api.client.post(
        "/v1/usage-events", data=body, content_type="application/json", headers=shop.api.headers
    )

    assert (answer.status_code, answer.json()["code"]) == (422, "invalid")
    with tenant_scope(shop.tenant.pk):
        assert not UsageEvent.objects.exists()


def test_odd_events_never_break_the_door(shop: SimpleNamespace) -> None:
    odd = [None, 7, "x", [], {}, {"meter": None}, event(properties={"n": 2**70, "deep": {"a": [1, None]}})]

    answer = shop.api.post("/v1/usage-events", {"events": odd})

    assert answer.status_code == 200
    assert [one["status"] for one in answer.json()["data"]][:6] == ["refused"] * 6


@pytest.mark.parametrize(
    "moment", ["0000-01-01T00:00:00Z", "0001-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00"]
)
@pytest.mark.parametrize("names", [("from",), ("to",), ("from", "to")])
def test_usage_of_the_first_and_the_last_year_is_a_problem_or_nothing(
    shop: SimpleNamespace, names: tuple[str, ...], moment: str
) -> None:
    for group in ("meter", "day"):
        answer = shop.api.get("/v1/usage", group_by=group, **dict.fromkeys(names, moment))

        if answer.status_code == 200:
            assert answer.json()["data"] == []
        else:
            assert (answer.status_code, answer.json()["code"]) == (422, "invalid")
            assert answer.headers["Content-Type"] == "application/problem+json"


def test_meters_are_registered_once(shop: SimpleNamespace) -> None:
    first = shop.api.post("/v1/meters", {"name": "pages", "unit": "page"})
    second = shop.api.post("/v1/meters", {"name": "own:pages"})

    assert (first.status_code, first.json()["name"], first.json()["id"]) == (201, "own:pages", second.json()["id"])
    assert shop.api.post("/v1/meters", {"name": "Bad Name"}).status_code == 422
    with tenant_scope(shop.tenant.pk):
        assert Meter.objects.count() == 2


def test_usage_is_summed_by_meter_job_model_and_day(shop: SimpleNamespace) -> None:
    job_id, now = uuid7(), clock.now()
    with tenant_scope(shop.tenant.pk):
        for key, job in (("a", job_id), ("b", None)):
            usage_record(
                tenant_id=shop.tenant.pk, meter="cpu_ms", quantity=7, occurred_at=now - timedelta(minutes=1), key=key,
                job_id=job,
            )  # fmt: skip

    def rows(group: str) -> list[dict]:
        return shop.api.get("/v1/usage", group_by=group).json()["data"]

    assert rows("meter") == [{"meter": "cpu_ms", "quantity": 14, "billed": 0, "events": 2}]
    assert {row["job"] for row in rows("job")} == {None, typeid("job", job_id)}
    assert [row["model"] for row in rows("model")] == [None]
    assert sum(row["quantity"] for row in rows("day")) == 14
    assert shop.api.get("/v1/usage", group_by="moon").status_code == 422
    query = {"from": "2020-01-01T00:00:00Z", "to": "2026-01-01T00:00:00Z"}
    assert shop.api.get("/v1/usage", **query).json()["field"] == "from"
    assert shop.api.get("/v1/usage", **{"from": "0000-01-01"}).status_code == 422


def test_invoices_show_their_lines_and_only_to_their_payer(shop: SimpleNamespace) -> None:
    invoice = make_invoice(shop.tenant)
    stranger = api_client(make_tenant("Other"))

    shown = shop.api.get(f"/v1/invoices/{invoice.public_id}").json()
    lines = shop.api.get(f"/v1/invoices/{invoice.public_id}/lines").json()["data"]

    assert shown["total"] == {"amount": 1000, "currency": "CNY"}
    assert [line["quantity"] for line in lines] == [2_000_000]
    assert [row["id"] for row in shop.api.get("/v1/invoices").json()["data"]] == [invoice.public_id]
    for path in (
        f"/v1/invoices/{invoice.public_id}",
        f"/v1/invoices/{invoice.public_id}/lines",
        "/v1/invoices/nonsense",
    ):
        assert stranger.get(path).status_code == 404


def test_what_a_reseller_pays_is_not_shown_to_its_customer(shop: SimpleNamespace) -> None:
    reseller, customer = make_tenant("Reseller", kind="partner"), make_tenant("Customer")
    make_billing(customer, reseller_tenant_id=reseller.pk)
    invoice = make_invoice(customer)

    client = api_client(customer)

    assert client.get("/v1/invoices").json()["data"] == []
    assert client.get(f"/v1/invoices/{invoice.public_id}").status_code == 404
    answer = client.post("/v1/checkout-sessions", {"plan": "starter"})
    assert (answer.status_code, answer.json()["code"]) == (409, "billed_by_reseller")


def test_the_spend_limit_is_set_and_lifted(shop: SimpleNamespace) -> None:
    assert shop.api.put("/v1/spend-limit", {"limit": {"amount": 5000, "currency": "CNY"}}).status_code == 200
    assert shop.api.get("/v1/entitlements").json()["spend_limit"] == {"amount": 5000, "currency": "CNY"}

    assert shop.api.put("/v1/spend-limit", {"limit": None}).json() == {"limit": None}
    assert shop.api.get("/v1/entitlements").json()["spend_limit"] is None


@pytest.mark.parametrize(
    ("limit", "code"),
    [
        ({"amount": 1, "currency": "USD"}, "currency_mismatch"),
        ({"amount": -1, "currency": "CNY"}, "invalid"),
        ({"amount": 1.5, "currency": "CNY"}, "invalid"),
        ({"amount": 2**63, "currency": "CNY"}, "invalid"),
        ("lots", "invalid"),
    ],
)
def test_a_senseless_spend_limit_changes_nothing(shop: SimpleNamespace, limit: object, code: str) -> None:
    shop.api.put("/v1/spend-limit", {"limit": {"amount": 5000, "currency": "CNY"}})

    answer = shop.api.put("/v1/spend-limit", {"limit": limit})

    assert (answer.status_code, answer.json()["code"]) == (422, code)
    with platform_scope(reason="look"):
        assert TenantBilling.objects.get(tenant=shop.tenant).spend_limit == 5000


def test_entitlements_of_the_free_plan(shop: SimpleNamespace) -> None:
    body = shop.api.get("/v1/entitlements").json()

    assert (body["plan"], body["quotas"]["predictions"]["quota"]) == ("free", 1000)
    make_subscription(shop.tenant, "pro")
    assert shop.api.get("/v1/entitlements").json()["plan"] == "pro"


def test_without_billing_the_doors_say_so(database: None) -> None:
    partner = api_client(make_tenant("Partner", kind="partner"), scopes=["admin"])

    for answer in (partner.get("/v1/entitlements"), partner.post("/v1/checkout-sessions", {"plan": "starter"})):
        assert (answer.status_code, answer.json()["code"]) == (409, "billing_missing")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 422),
        ({"plan": "starter", "price": "price_x"}, 422),
        ({"plan": "no-such"}, 404),
        ({"plan": "free"}, 404),
        ({"price": "nonsense"}, 422),
        ({"price": typeid("price", uuid7())}, 404),
        ({"plan": "starter", "success_url": "javascript:alert(1)"}, 422),
        ({"plan": "starter", "surprise": 1}, 422),
    ],
)
def test_checkout_refuses_what_is_not_for_sale(shop: SimpleNamespace, body: dict, status: int) -> None:
    assert shop.api.post("/v1/checkout-sessions", body).status_code == status


def test_a_subscription_that_is_not_there_cannot_be_changed(shop: SimpleNamespace) -> None:
    assert shop.api.get("/v1/subscription").json() == {"subscription": None, "preview": None}
    for body in ({"plan": "pro"}, {"plan": "pro", "preview": True}, {"cancel_at_period_end": True}):
        answer = shop.api.patch("/v1/subscription", body)
        assert (answer.status_code, answer.json()["code"]) == (409, "not_subscribed")
    for body in ({}, {"plan": "pro", "cancel_at_period_end": True}, {"cancel_at_period_end": True, "preview": True}):
        assert shop.api.patch("/v1/subscription", body).status_code == 422


def test_what_a_reseller_pays_for_its_customer_cannot_change(database: None) -> None:
    reseller, customer = make_tenant("Reseller", kind="partner"), make_tenant("Customer")
    make_billing(customer, reseller_tenant_id=reseller.pk)
    make_subscription(customer, "starter")
    door = api_client(customer, scopes=["admin"])

    for body in ({"plan": "pro"}, {"plan": "pro", "preview": True}, {"cancel_at_period_end": True}):
        answer = door.patch("/v1/subscription", body)
        assert (answer.status_code, answer.json()["code"]) == (409, "billed_by_reseller")


def test_developers_count_and_do_not_buy(shop: SimpleNamespace) -> None:
    developer = api_client(shop.tenant, scopes=["usage"])

    assert developer.post("/v1/usage-events", {"events": [event()]}).json()["accepted"] == 1
    assert developer.post("/v1/checkout-sessions", {"plan": "starter"}).status_code == 403
    assert developer.get("/v1/invoices").status_code == 403
