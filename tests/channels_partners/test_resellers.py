"""The reseller's doors: founding, stopping and limiting customers that it pays for, and nobody else's."""

from datetime import timedelta
from decimal import Decimal

import pytest

from accounts.models import Invitation, Tenant
from accounts.services.tenants import tenant_set_state
from billing.models import TenantBilling
from billing.services.catalogue import catalogue_seed
from billing.services.usage import usage_record
from channels_partners.errors import RebateInForce
from channels_partners.models import Partner
from channels_partners.services.partners import partner_change
from millrace.kernel import clock, outbox
from millrace.kernel.ids import parse
from millrace.kernel.tenancy import platform_scope, tenant_scope
from tests.billing.factories import make_invoice, make_subscription
from tests.channels_partners.makers import attribution_of, door, make_partner
from tests.factories import SYSTEM, api_client

pytestmark = pytest.mark.django_db


def test_a_reseller_founds_a_customer_that_it_pays_for() -> None:
    reseller = make_partner("Reseller", kind="reseller", discount_percent=Decimal("15"))
    api = door(reseller, "reseller")

    made = api.post("/v1/reseller/tenants", {"name": "Acme", "owner_email": "ann@acme.test"})
    outbox.drain()

    assert made.status_code == 201
    key = parse("ten", made.json()["id"])
    with platform_scope(reason="look"):
        billing = TenantBilling.objects.select_related("billing_account").get(tenant_id=key)
        assert Invitation.objects.get(tenant_id=key).email == "ann@acme.test"
    assert billing.billing_account.owner_tenant_id == reseller.organisation_id
    assert billing.billing_account.discount_percent == 15
    assert (attribution_of(key).precedence, attribution_of(key).partner) == ("reseller", reseller)
    assert [row["id"] for row in api.get("/v1/reseller/tenants").json()["data"]] == [made.json()["id"]]


def test_a_reseller_suspends_resumes_limits_and_reads_usage() -> None:
    api = door(make_partner("Reseller", kind="reseller"), "reseller")
    tenant = api.post("/v1/reseller/tenants", {"name": "Acme"}).json()["id"]
    key, path = parse("ten", tenant), f"/v1/reseller/tenants/{tenant}"
    with tenant_scope(key):
        usage_record(
            tenant_id=key, meter="cpu_ms", quantity=70, occurred_at=clock.now() - timedelta(seconds=1), key="k"
        )

    assert api.post(f"{path}/suspend").json()["state"] == "suspended"
    assert api.post(f"{path}/resume").json()["state"] == "trialing"
    limit = {"limit": {"amount": 10_000, "currency": "CNY"}}
    assert api.put(f"{path}/spend-limit", limit).json() == limit
    assert api.get(f"{path}/spend-limit").json() == limit
    assert api.put(f"{path}/spend-limit", {"limit": {"amount": 1, "currency": "USD"}}).status_code == 422
    assert api.put(f"{path}/spend-limit", {"limit": None}).json() == {"limit": None}
    usage = api.get(f"{path}/usage").json()["data"]
    assert [(row["meter"], row["quantity"]) for row in usage] == [("cpu_ms", 70)]
    assert api.get("/v1/reseller/invoices").json()["data"] == []
    assert api.get("/v1/reseller/prices").status_code == 200


def test_a_resellers_account_is_billed_by_the_rebate_on_its_price_list() -> None:
    reseller = make_partner("Reseller", kind="reseller", discount_percent=Decimal("10"))
    api = door(reseller, "reseller")
    first = parse("ten", api.post("/v1/reseller/tenants", {"name": "First"}).json()["id"])
    partner_change(partner=reseller, discount_percent=Decimal("30"), actor=SYSTEM)
    api.post("/v1/reseller/tenants", {"name": "Second"})
    catalogue_seed()
    starter = next(row for row in api.get("/v1/reseller/prices").json()["data"] if row["plan"] == "starter")

    assert rebates_of(reseller) == [Decimal(30)] * 3
    assert (starter["list_price"]["amount"], starter["wholesale_price"]["amount"]) == (29_900, 20_930)

    with platform_scope(reason="test"):
        make_subscription(Tenant.objects.get(pk=first))
    with pytest.raises(RebateInForce):
        partner_change(partner=reseller, discount_percent=Decimal("40"), actor=SYSTEM)
    partner_change(partner=reseller, discount_percent=Decimal("30"), name="Renamed", actor=SYSTEM)
    assert rebates_of(reseller) == [Decimal(30)] * 3


def rebates_of(reseller: Partner) -> list[Decimal]:
    """The partner's, and what each of its customers' payers is billed by."""
    with platform_scope(reason="look"):
        of_customers = TenantBilling.objects.filter(billing_account__owner_tenant=reseller.organisation)
        billed = list(of_customers.values_list("billing_account__discount_percent", flat=True))
        return [Partner.objects.get(pk=reseller.pk).discount_percent, *billed]


def test_a_customer_does_not_lift_the_limit_that_its_reseller_set() -> None:
    api = door(make_partner("Reseller", kind="reseller"), "reseller")
    customer = api.post("/v1/reseller/tenants", {"name": "Acme"}).json()["id"]
    limit = {"limit": {"amount": 10_000, "currency": "CNY"}}
    api.put(f"/v1/reseller/tenants/{customer}/spend-limit", limit)
    with platform_scope(reason="test"):
        own = api_client(Tenant.objects.get(pk=parse("ten", customer)), ["billing"])

    answer = own.put("/v1/spend-limit", {"limit": None})

    assert (answer.status_code, answer.json()["code"]) == (409, "billed_by_reseller")
    assert api.get(f"/v1/reseller/tenants/{customer}/spend-limit").json() == limit


@pytest.mark.parametrize(
    ("before", "subscription", "after"),
    [("trialing", None, "trialing"), ("past_due", None, "past_due"), ("active", "past_due", "past_due")],
)
def test_a_resumed_customer_stands_as_it_did_or_as_its_subscription_does(
    before: str, subscription: str | None, after: str
) -> None:
    api = door(make_partner("Reseller", kind="reseller"), "reseller")
    customer = api.post("/v1/reseller/tenants", {"name": "Acme"}).json()["id"]
    tenant = tenant_in_state(customer, before)
    if subscription:
        make_subscription(tenant, status=subscription)

    assert api.post(f"/v1/reseller/tenants/{customer}/resume").json()["state"] == before  # nothing to resume
    assert api.post(f"/v1/reseller/tenants/{customer}/suspend").json()["state"] == "suspended"
    for _ in range(2):
        assert api.post(f"/v1/reseller/tenants/{customer}/resume").json()["state"] == after


@pytest.mark.parametrize("subscription", [None, "unpaid"])
def test_a_reseller_lifts_no_suspension_but_its_own(subscription: str | None) -> None:
    api = door(make_partner("Reseller", kind="reseller"), "reseller")
    customer = api.post("/v1/reseller/tenants", {"name": "Acme"}).json()["id"]
    if subscription:
        api.post(f"/v1/reseller/tenants/{customer}/suspend")
        make_subscription(tenant_in_state(customer, "suspended"), status=subscription)
    else:
        tenant_in_state(customer, "suspended")

    answer = api.post(f"/v1/reseller/tenants/{customer}/resume")

    assert (answer.status_code, answer.json()["code"]) == (409, "tenant_state")
    assert api.get(f"/v1/reseller/tenants/{customer}").json()["state"] == "suspended"


def tenant_in_state(public_id: str, state: str) -> Tenant:
    return tenant_set_state(tenant_id=parse("ten", public_id), state=state, actor=SYSTEM)


def test_a_reseller_meets_404_for_anybody_elses_customer(tenant: Tenant) -> None:
    first, second = (door(make_partner(name, kind="reseller"), "reseller") for name in ("First", "Second"))
    theirs = second.post("/v1/reseller/tenants", {"name": "Theirs"}).json()["id"]

    for stranger in (theirs, tenant.public_id, "ten_nonsense"):
        path = f"/v1/reseller/tenants/{stranger}"
        assert first.get(path).status_code == 404
        assert first.get(f"{path}/usage").status_code == 404
        assert first.get(f"{path}/spend-limit").status_code == 404
        assert first.put(f"{path}/spend-limit", {"limit": None}).status_code == 404
        assert first.post(f"{path}/suspend").status_code == 404
    assert second.get(f"/v1/reseller/tenants/{theirs}").json()["state"] == "trialing"


def test_a_reseller_reads_its_own_customers_invoices() -> None:
    apis = [door(make_partner(name, kind="reseller"), "reseller") for name in ("First", "Second")]
    customers = [api.post("/v1/reseller/tenants", {"name": "Acme"}).json()["id"] for api in apis]
    with platform_scope(reason="test"):
        for customer in customers:
            make_invoice(Tenant.objects.get(pk=parse("ten", customer)))

    found = [api.get("/v1/reseller/invoices").json()["data"] for api in apis]

    assert [[row["tenant"] for row in rows] for rows in found] == [[customer] for customer in customers]
    assert found[0][0]["total"] == {"amount": 1000, "currency": "CNY"}
