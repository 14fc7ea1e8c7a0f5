"""Before the curtain: the company's own people set up what is for sale, the channels, the partners and their links."""

from dataclasses import dataclass, field
from decimal import Decimal

from allauth.account.models import EmailAddress

from accounts.models import Tenant, User
from accounts.services.api_keys import api_key_create
from accounts.services.tenants import tenant_create
from billing.models import Plan
from billing.services.catalogue import catalogue_seed, plan_create, price_version_publish
from channels_partners.models import Channel, Partner, TermsVersion
from channels_partners.services.channels import channel_ensure, spend_record
from channels_partners.services.links import link_create
from channels_partners.services.partners import partner_create, terms_publish
from millrace.kernel import clock
from millrace.kernel.audit import Actor
from millrace.kernel.money import Money
from millrace.kernel.tenancy import tenant_scope
from millrace.story.cast import BILLING_DAY, MONTH, WAYS
from millrace.story.logins import LOGINS, PASSWORD
from millrace.story.offer import CURRENCY, OFFERS, REBATE_PERCENT

OPERATOR = Actor.system("story")
# What the company spent on each channel in the month, in fen: for CAC.
SPEND = {"marketplace": 3_500_000, "social": 4_200_000, "events": 2_800_000, "makers": 600_000}


@dataclass
class House:
    """What the acts need to know of the company's set-up."""

    prices: dict[str, str] = field(default_factory=dict)
    reseller_key: str = ""


def prepare() -> House:
    """Plans and prices, channels and partners, staff. Through services: these are the operators' own doors."""
    house = House()
    free = catalogue_seed(currency=CURRENCY, actor=OPERATOR)["free"]
    _announce_only(free.plan.code)
    for rank, offer in enumerate(OFFERS.values(), start=1):
        plan = plan_create(
            code=offer.code, name=offer.name, description=offer.description, rank=rank, actor=OPERATOR,
            features=["train", "predict", "batch_predict", "own_meters"], limits={"concurrent_jobs": 4},
        )  # fmt: skip
        price = price_version_publish(
            plan=plan, currency=CURRENCY, actor=OPERATOR, recurring_amount=offer.fee, anchor_day=BILLING_DAY,
            components=offer.components, minimum_commitment=offer.minimum, prorates_minimum=False,
        )  # fmt: skip
        house.prices[offer.code] = price.public_id
    channels = {way.slug: channel_ensure(slug=way.slug, name=way.name, kind=way.kind, actor=OPERATOR) for way in WAYS}
    for slug, amount in SPEND.items():
        spend_record(channel=channels[slug], spent=Money(amount, CURRENCY), spent_on=MONTH.date(), actor=OPERATOR)
    for slug in ("marketplace", "social", "events"):
        link_create(channel=channels[slug], actor=OPERATOR, code=slug, name=channels[slug].name)
    _partners(channels["makers"], house)
    _person(LOGINS[2].email, "Olga Petrova", is_staff=True)
    return house


def _announce_only(kept: str) -> None:
    """Take the example plans off the pricing page: this company sells its own three, and the free one."""
    Plan.objects.exclude(code=kept).update(is_public=False)


def _partners(channel: Channel, house: House) -> None:
    recurring = terms_publish(slug="makers-recurring", kind="percent", rate=Decimal("0.12"), duration="months", months=12,
                              hold_days=30, actor=OPERATOR)  # fmt: skip
    once = terms_publish(slug="makers-once", kind="flat", flat={CURRENCY: 30_000}, duration="once", actor=OPERATOR)
    hengsen = _partner("Hengsen Sensors", LOGINS[1].email, "Paul Zhou", "agent", channel, recurring)
    longyan = _partner("Longyan Controls", "lu@longyan.example", "Lu Yan", "agent", channel, once)
    for code, partner in (("hengsen", hengsen), ("longyan", longyan)):
        link_create(channel=channel, partner=partner, actor=OPERATOR, code=code, name=f"{partner.name}'s catalogue")
    beichuan = _partner("Beichuan Automation", "bei@beichuan.example", "Bei Chuan", "reseller", channel, None)
    organisation = beichuan.organisation
    with tenant_scope(organisation.pk):
        house.reseller_key = api_key_create(
            tenant=organisation, name="order system", scopes=["reseller"], actor=OPERATOR
        )[1]


def _partner(name: str, email: str, person: str, kind: str, channel: Channel, terms: TermsVersion | None) -> Partner:
    owner = _person(email, person)
    organisation: Tenant = tenant_create(name=name, owner=owner, actor=OPERATOR, kind="partner")
    return partner_create(
        organisation=organisation, kind=kind, channel=channel, actor=OPERATOR, terms=terms,
        discount_percent=REBATE_PERCENT if kind == "reseller" else Decimal(0),
    )  # fmt: skip


def _person(email: str, name: str, **fields: bool) -> User:
    user = User.objects.create_user(email, PASSWORD, name=name, verified_at=clock.now(), **fields)
    EmailAddress.objects.create(user=user, email=email, verified=True, primary=True)
    return user
