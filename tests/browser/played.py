"""A small world for looking at pages: a busy customer with long names, a newcomer, a partner with customers, staff; and
the things behind every parameter of an address."""

from dataclasses import dataclass, field
from datetime import timedelta

from accounts.models import Invitation, Tenant, User
from accounts.roles import Role
from accounts.services.api_keys import api_key_revoke
from accounts.services.invitations import invitation_create
from billing.services.usage import usage_record
from channels_partners.models import SurveyKind
from channels_partners.services.links import code_create, link_disable
from channels_partners.services.surveys import survey_answer
from millrace.kernel import clock, outbox
from millrace.kernel.ids import uuid7
from millrace.kernel.tenancy import platform_scope, tenant_scope
from mlops.models import Job
from mlops.services.events import events_append
from tests import factories
from tests.channels_partners.makers import make_link, make_partner, pay, refund, sign_up
from tests.mlops import cast
from tests.portal.makers import make_invoice, make_model_version

PASSWORD = "correct horse battery"
TOKEN = "an-invitation-of-the-tests"


@dataclass
class Played:
    """`people` by what they are to the pages; `names` fills the parameters of addresses."""

    people: dict[str, User]
    names: dict[str, list[str]] = field(default_factory=dict)


def play() -> Played:
    """The world."""
    tenant = factories.make_tenant(name="Wuhan Valve and Precision Measuring Instruments Company")
    played = Played({
        "owner": factories.make_member(tenant, "li.wei.the.owner@wuhan-valves.example", Role.OWNER),
        "viewer": factories.make_member(tenant, "viewer@wuhan-valves.example", Role.VIEWER),
        "newcomer": factories.make_member(factories.make_tenant(name="Newcomers"), "new@newcomers.example", Role.OWNER),
        "nobody's": factories.make_user("nowhere@example.com"),
        "staff": factories.make_user("staff@millrace.example", is_staff=True),
    })  # fmt: skip
    outbox.drain()
    _people(tenant)
    invoice, line = make_invoice(tenant)
    played.names |= {"invoice_id": [invoice.public_id], "line_id": [line.public_id]}
    _work(tenant, played)
    _usage(tenant)
    _partner(played)
    return played


def _people(tenant: Tenant) -> None:
    factories.make_member(tenant, "an.unverified.developer.with.a.long.address@wuhan-valves.example", Role.DEVELOPER)
    with tenant_scope(tenant.pk):
        for address, role in (("billing@wuhan-valves.example", "billing"), ("dora@optics.example", "developer")):
            made = invitation_create(tenant=tenant, email=address, role=role, actor=factories.SYSTEM, by_owner=True)
        from accounts.secrets import keyed_hash

        Invitation.objects.filter(pk=made.pk).update(token_hash=keyed_hash(TOKEN))
    factories.make_api_key(tenant, ["read", "data", "jobs", "models", "predict", "usage", "billing"])
    factories.make_api_key(tenant)
    with tenant_scope(tenant.pk):
        from accounts.models import ApiKey

        api_key_revoke(key=ApiKey.objects.latest("created_at"), actor=factories.SYSTEM)


def _work(tenant: Tenant, played: Played) -> None:
    version = cast.version(tenant, model_name="Digit reader")
    cast.prediction(tenant, version)
    running = cast.submit(tenant, model_name="Valve inspection, line 3")
    held = cast.claim(cast.session("line-3/gpu0"))
    assert held is not None
    assert held.pk == running.pk
    made = make_model_version(tenant)
    with tenant_scope(tenant.pk):
        ended = version.job
        for epoch in range(1, 13):
            rows = [("metric", {"name": name, "value": 2.3 / (epoch + at), "step": epoch, "epoch": epoch})
                    for at, name in enumerate(("train_loss", "held_out_loss"))]  # fmt: skip
            events_append(
                ended, [*rows, ("log", {"text": f"epoch {epoch}: a line that is printed " + "on " * 30 + "\n"})]
            )
        Job.objects.filter(pk=running.pk).update(progress={"fraction": 0.37, "epoch": 4})
        failed = cast.submit(tenant)
        Job.objects.filter(pk=failed.pk).update(state="failed", reason="out_of_memory")
        played.names |= {
            "dataset_id": [version.dataset_version.dataset.public_id],
            "job_id": [ended.public_id, running.public_id, failed.public_id],
            "model_id": [version.model.public_id, made.model.public_id],
        }


def _usage(tenant: Tenant) -> None:
    with tenant_scope(tenant.pk):
        survey_answer(tenant_id=tenant.pk, kind=SurveyKind.CSAT, score=5, actor=factories.SYSTEM)
        for hours in range(0, 22, 2):
            for meter, quantity in (("gpu_ms:h100", 41_287_000), ("predictions", 1234), ("own:inspected_parts", 77)):
                usage_record(
                    tenant_id=tenant.pk, meter=meter, quantity=quantity + hours, key=uuid7().hex,
                    occurred_at=clock.now() - timedelta(hours=hours),
                )  # fmt: skip


def _partner(played: Played) -> None:
    partner, fresh = make_partner("Sensor Partners"), make_partner("Fresh Partners", email="boss@fresh.example")
    with platform_scope(reason="look"):
        played.people["partner"] = User.objects.get(memberships__tenant=partner.organisation)
        played.people["new partner"] = User.objects.get(memberships__tenant=fresh.organisation)
    link_disable(link=make_link(partner, code="old-spring"), actor=factories.SYSTEM)
    played.names["code"] = [make_link(partner, code="spring-fair-hannover", name="Spring fair").code]
    code_create(partner=partner, channel=partner.channel, code="FAIR26", actor=factories.SYSTEM)
    customer = sign_up(name="Xiangyang Optical Instruments", coupon="FAIR26")
    refund(pay(customer.tenant_id, 1_234_567), 34_567)
    pay(customer.tenant_id, 99_900)
    mailbox, _, domain = played.people["partner"].email.partition("@")
    sign_up(f"{mailbox}+2@{domain}", name="The partner’s other company", coupon="FAIR26")
