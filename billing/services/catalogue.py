"""The catalogue: plans, and prices that are published once and never changed."""

from decimal import Decimal

from django.db import transaction
from django.db.models import Max

from billing import pricing
from billing.errors import PriceInvalid
from billing.models import Interval, Plan, PriceVersion
from billing.selectors.plans import FREE_PLAN, plan_price
from millrace.kernel import clock
from millrace.kernel.audit import Actor, record
from millrace.kernel.money import Money, exponent, step
from millrace.kernel.tenancy import platform_scope


@platform_scope(reason="the catalogue is the platform's")
def plan_create(
    *,
    code: str,
    name: str,
    actor: Actor,
    description: str = "",
    features: list[str] | None = None,
    limits: dict[str, int] | None = None,
    quotas: dict[str, int] | None = None,
    rank: int = 0,
    is_public: bool = True,
) -> Plan:
    """A plan; the same code again brings its words, features, limits and quotas up to date."""
    values = {
        "name": name, "description": description, "features": features or [], "limits": limits or {},
        "quotas": quotas or {}, "rank": rank, "is_public": is_public,
    }  # fmt: skip
    with transaction.atomic():
        plan, made = Plan.objects.update_or_create(code=code, defaults=values)
        record(actor=actor, action="plan.create" if made else "plan.update", target=plan, data={"code": code})
    return plan


@platform_scope(reason="the catalogue is the platform's")
def price_version_publish(
    *,
    plan: Plan,
    currency: str,
    actor: Actor,
    recurring_amount: int = 0,
    interval: str = Interval.MONTH,
    anchor_day: int | None = None,
    trial_days: int = 0,
    components: list[dict] | None = None,
    minimum_commitment: int = 0,
    prorates_minimum: bool = True,
) -> PriceVersion:
    """The next version of a plan's price in a currency: from now on what new subscribers get. PriceInvalid if senseless.

    It appears at Stripe when it is first sold (billing.stripe.catalogue), under an id of ours, so that a catalogue can
    be published while Stripe is out of reach. Existing subscriptions keep the version that they pinned.
    """
    exponent(currency)
    try:
        pricing.parse(components or [])
    except pricing.PricingInvalid as error:
        raise PriceInvalid(str(error), field="components") from error
    if recurring_amount % step(currency) or minimum_commitment % step(currency):
        raise PriceInvalid(
            f"Amounts in {currency} are multiples of {Money(step(currency), currency)}.", field="recurring_amount"
        )
    with transaction.atomic():
        Plan.objects.select_for_update().get(pk=plan.pk)
        last = PriceVersion.objects.filter(plan=plan, currency=currency).aggregate(last=Max("version"))["last"] or 0
        price = PriceVersion.objects.create(
            plan=plan,
            version=last + 1,
            currency=currency,
            recurring_amount=recurring_amount,
            interval=interval,
            anchor_day=anchor_day,
            trial_days=trial_days,
            components=components or [],
            minimum_commitment=minimum_commitment,
            prorates_minimum=prorates_minimum,
        )
        record(actor=actor, action="price.publish", target=price, data={"plan": plan.code, "version": price.version})
    return price


@platform_scope(reason="the catalogue is the platform's")
def price_version_retire(*, price: PriceVersion, actor: Actor) -> PriceVersion:
    """Stop selling a price. Its subscribers keep it. Safe to repeat."""
    with transaction.atomic():
        if PriceVersion.objects.filter(pk=price.pk, retired_at__isnull=True).update(retired_at=clock.now()):
            record(actor=actor, action="price.retire", target=price)
    price.refresh_from_db()
    return price


# The example catalogue, in minor units of CNY; other currencies at round rates. Device time: 18.00 an hour of GPU,
# 0.60 an hour of CPU.
_RATES = {"CNY": Decimal(1), "USD": Decimal("0.14"), "EUR": Decimal("0.13"), "GBP": Decimal("0.11")}
_GPU_MS, _CPU_MS, _BYTE_HOUR = Decimal("0.0005"), Decimal("0.000016666667"), Decimal("0.00000000011")
_HOUR_MS, _GIB_MONTH = 3_600_000, 2**30 * 730
_ALL_FEATURES = ["train", "predict", "tune", "compress", "batch_predict", "gpu", "own_meters"]


def catalogue_seed(*, currency: str = "CNY", actor: Actor | None = None) -> dict[str, PriceVersion]:
    """The example catalogue (free, starter, pro, studio) in one currency, by plan code. Safe to repeat."""
    who = actor or Actor.system("catalogue")
    rate = _RATES.get(currency)
    if rate is None:
        raise PriceInvalid(f"The example catalogue comes in {', '.join(_RATES)}.", field="currency")
    found: dict[str, PriceVersion] = {}
    for rank, (code, spec) in enumerate(_catalogue(rate).items()):
        words, terms = spec
        plan = plan_create(code=code, rank=rank, actor=who, **words)
        found[code] = plan_price(code, currency) or price_version_publish(
            plan=plan, currency=currency, actor=who, **terms
        )
    return found


def _catalogue(rate: Decimal) -> dict[str, tuple[dict, dict]]:
    return {
        FREE_PLAN: (
            {
                "name": "Free",
                "description": "Try it: an hour of CPU and a thousand predictions a month.",
                "features": ["train", "predict"],
                "limits": {"concurrent_jobs": 1},
                "quotas": {
                    "cpu_ms": _HOUR_MS,
                    "predictions": 1000,
                    "prediction_items": 1000,
                    "storage_byte_hours": _GIB_MONTH,
                },
            },
            {},
        ),
        "starter": (
            {
                "name": "Starter",
                "description": "For one product: pay a small fee and for what you use.",
                "features": _ALL_FEATURES,
                "limits": {"concurrent_jobs": 2},
            },
            {
                "recurring_amount": int(29_900 * rate),
                "components": _components(rate, predictions="0.8", included=10_000),
            },
        ),
        "pro": (
            {
                "name": "Pro",
                "description": "For a team: more included, cheaper by volume.",
                "features": _ALL_FEATURES,
                "limits": {"concurrent_jobs": 8},
            },
            {
                "recurring_amount": int(99_900 * rate),
                "components": _components(rate, predictions="0.5", included=100_000),
            },
        ),
        "studio": (
            {
                "name": "Studio",
                "description": "No fee: usage with a monthly minimum, on one calendar for all.",
                "features": _ALL_FEATURES,
                "limits": {"concurrent_jobs": 16},
            },
            {
                "anchor_day": 28,
                "minimum_commitment": int(150_000 * rate),
                "prorates_minimum": False,
                "components": _components(rate, predictions="0.4", included=0),
            },
        ),
    }


def _components(rate: Decimal, *, predictions: str, included: int) -> list[dict]:
    """Per-unit device time and storage, graduated predictions; prices as text, for JSON has no decimals."""

    def text(price: Decimal) -> str:
        return f"{round(price * rate, pricing.PLACES).normalize():f}"

    first = Decimal(predictions)
    tiers = [
        {"up_to": 1_000_000, "unit_price": text(first)},
        {"up_to": 10_000_000, "unit_price": text(first / 2)},
        {"up_to": None, "unit_price": text(first / 4)},
    ]
    return [
        {"kind": "per_unit", "meter": "cpu_ms", "unit_price": text(_CPU_MS), "included": included * 36},
        {"kind": "per_unit", "meter": "gpu_ms", "unit_price": text(_GPU_MS)},
        {"kind": "graduated", "meter": "predictions", "tiers": tiers, "included": included},
        {"kind": "graduated", "meter": "prediction_items", "tiers": tiers, "included": included},
        {"kind": "per_unit", "meter": "storage_byte_hours", "unit_price": text(_BYTE_HOUR)},
    ]
