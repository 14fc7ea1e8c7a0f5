"""The first month of a customer, as a product person would tell it."""

import re
from datetime import timedelta

from dateutil.relativedelta import relativedelta
from django.core import mail
from django.test import Client

from accounts.models import Tenant, User
from billing.models import InvoiceLine
from channels_partners.models import Attribution
from channels_partners.selectors import partner_balances
from millrace.kernel import clock, outbox, reconcile
from millrace.kernel.tenancy import platform_scope, tenant_scope
from mlops.services.outcomes import job_finish
from mlops.services.segments import job_segment_record
from tests.billing.stripe_world import World
from tests.channels_partners.makers import make_link, make_partner
from tests.factories import logged_in
from tests.mlops import cast
from tests.mlops.test_job_services import run_until_checkpoint, trained

PASSWORD = "correct horse battery staple"


def test_a_partner_brings_a_customer_who_trains_and_pays(world: World, staff: User) -> None:
    with clock.frozen(world.now):
        partner = make_partner("Hengsen Sensors")
        make_link(partner, code="hengsen")

        # A visitor follows the partner's link, reads whose it is, signs up and confirms the address.
        wang = Client()
        landing = wang.get("/r/hengsen")
        sign_up = wang.get(landing["Location"])
        assert "Hengsen Sensors" in sign_up.content.decode()
        form = {
            "email": "wang@bearings.example",
            "password1": PASSWORD,
            "name": "Wang Fang",
            "organisation": "Bearings",
        }
        wang.post("/accounts/signup/", form)
        (letter,) = mail.outbox
        wang.post("/" + re.search(r"https?://[^/]+/(\S+)", str(letter.body)).group(1))
        outbox.drain()
    tenant = the_tenant()
    assert attributed_to(tenant) == partner.pk

    # They subscribe, and train: the device is held for 5,070 ms.
    world.account(tenant)
    world.subscribe(tenant, "starter")
    with clock.frozen(world.now + timedelta(days=2)):
        train(tenant, milliseconds=5_070)

    # A month later Stripe drafts the invoice; our rating is on it, and it is paid.
    world.advance(world.now + relativedelta(months=1) + timedelta(minutes=1))
    first, second = world.invoices(tenant)
    assert (first.status, second.status) == ("paid", "paid")
    with platform_scope(reason="look"):
        used = InvoiceLine.objects.get(invoice=second, meter="cpu_ms")
    assert used.quantity == 5_070

    # The partner earned a fifth of what was paid.
    with platform_scope(reason="look"):
        (earned,) = partner_balances(partner)
    assert earned.total == round(first.subtotal * 0.2) + round(second.subtotal * 0.2)

    # The operator reads that the one customer pays, and what the channel brought in.
    with clock.frozen(world.now + timedelta(hours=1)):
        operator = logged_in(staff)
        period = {"from": "2026-01-01", "to": world.now.date() + timedelta(days=1), "by": "total"}
        ratio = operator.get("/v1/ops/reports/paying-ratio", period).json()["rows"][0]
        revenue = operator.get("/v1/ops/reports/channel-revenue", period).json()["rows"][0]
    assert (ratio["users"], ratio["paying_users"]) == (1, 1)
    assert revenue["revenue"] == first.total + second.total
    assert revenue["net"] == revenue["revenue"] - earned.total

    # And every cent can be walked.
    assert [text for check in reconcile.run_checks() for text in check.differences] == []


def the_tenant() -> Tenant:
    with platform_scope(reason="look"):
        return Tenant.objects.get(kind="customer")


def attributed_to(tenant: Tenant) -> object:
    with platform_scope(reason="look"):
        return Attribution.objects.get(tenant=tenant).partner_id


def train(tenant: Tenant, *, milliseconds: int) -> None:
    """A job on a device for so long, without the training."""
    cast.submit(tenant)
    job = cast.claim(cast.session())
    assert job is not None
    next_ms = run_until_checkpoint(job, ms=milliseconds - 70)
    with tenant_scope(tenant.pk):
        job_segment_record(job_id=job.pk, epoch=job.epoch, sequence=1, end_ms=next_ms + 70)
        job_finish(job_id=job.pk, epoch=job.epoch, ending=trained())
