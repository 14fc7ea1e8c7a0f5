"""Where a tenant stands: its plan, what it used and was not billed for, and what more of it would cost."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import cache
from uuid import UUID

from django.conf import settings
from django.db.models import Q, Sum

from billing import pricing
from billing.errors import BillingMissing
from billing.models import BillingAccount, Plan, PriceVersion, Reservation, Subscription, TenantBilling, UsageEvent
from billing.selectors.plans import FREE_PLAN, live_subscription, plan_price
from millrace.kernel import clock
from millrace.kernel.money import Money, step


@dataclass(frozen=True, slots=True)
class Standing:
    """A tenant's plan and payer at this moment. `price` and `plan` are None where no catalogue is published."""

    tenant_id: UUID
    billing: TenantBilling
    subscription: Subscription | None
    price: PriceVersion | None
    period_start: datetime
    period_end: datetime | None

    @property
    def account(self) -> BillingAccount:
        """Who pays."""
        return self.billing.billing_account

    @property
    def plan(self) -> Plan | None:
        """What the tenant may do."""
        return self.price.plan if self.price else None

    @property
    def currency(self) -> str:
        """What the payer is billed in."""
        return self.account.currency

    @property
    def quotas(self) -> dict[str, int]:
        """The hard monthly quotas; a plan that is paid for has none."""
        return self.plan.quotas if self.plan and self.subscription is None else {}

    @property
    def is_bounded(self) -> bool:
        """Whether what was used decides what may be used: by a quota, or by a spend limit."""
        return self.subscription is None or self.billing.spend_limit is not None

    def quota_meter(self, meter: str) -> str:
        """The meter whose quota a meter draws on: its own, or its family's, which all of the family share."""
        return meter if meter in self.quotas else meter.partition(":")[0]

    def drawn(self, meter: str, quantities: Mapping[str, int]) -> int:
        """What those quantities draw on the quota that `meter` draws on."""
        wanted = self.quota_meter(meter)
        return sum(quantity for name, quantity in quantities.items() if self.quota_meter(name) == wanted)


def standing(tenant_id: UUID) -> Standing:
    """The tenant's standing; BillingMissing for a partner's own organisation, or before `tenant.created` arrived."""
    billing = billing_of(tenant_id)
    subscription = live_subscription(tenant_id)
    if subscription is not None:
        return Standing(
            tenant_id, billing, subscription, subscription.price_version,
            subscription.current_period_start, subscription.current_period_end,
        )  # fmt: skip
    month = clock.now().replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    free = plan_price(FREE_PLAN, billing.billing_account.currency)
    return Standing(tenant_id, billing, None, free, month, None)


def billing_of(tenant_id: UUID) -> TenantBilling:
    """The tenant's billing with its account; BillingMissing where it has none."""
    billing = TenantBilling.objects.select_related("billing_account").filter(tenant_id=tenant_id).first()
    if billing is None:
        raise BillingMissing("This organisation has no billing account (yet).")
    return billing


def currency_of(tenant_id: UUID) -> str:
    """What the tenant's payer is billed in; the default where it has none (yet)."""
    known = TenantBilling.objects.filter(tenant_id=tenant_id).values_list("billing_account__currency", flat=True)
    return known.first() or settings.BILLING_CURRENCY


def open_quantities(stand: Standing) -> dict[str, int]:
    """What was used and stands on no invoice yet, by meter: since the subscription began, or in this month."""
    since = stand.subscription.started_at if stand.subscription else stand.period_start
    rows = UsageEvent.objects.filter(tenant_id=stand.tenant_id, invoice_line__isnull=True, occurred_at__gte=since)
    return {row["meter"]: int(row["total"]) for row in rows.values("meter").annotate(total=Sum("quantity")).order_by()}


def open_cost(stand: Standing, quantities: Mapping[str, int]) -> Money:
    """What those quantities cost at the present price, before any minimum."""
    return Money(sum(line.amount for line in open_lines(stand, quantities)), stand.currency)


def open_lines(stand: Standing, quantities: Mapping[str, int]) -> list[pricing.RatedLine]:
    """Those quantities as the lines that an invoice would have today."""
    if stand.price is None:
        return []
    discount = stand.account.discount_percent
    rated = pricing.rate(components_of(stand.price), quantities, discount_percent=discount, step=step(stand.currency))
    return [line for line in rated if line.kind == "usage"]


def reserved(tenant_id: UUID, *, besides: str = "") -> tuple[int, dict[str, int]]:
    """Open reservations: their amount, and their quantity by meter."""
    rows = Reservation.objects.filter(
        ~Q(key=besides), tenant_id=tenant_id, released_at__isnull=True, expires_at__gt=clock.now()
    )
    amount, quantities = 0, {}
    for row in rows.values("meter").annotate(amounts=Sum("amount"), quantities=Sum("quantity")).order_by():
        amount += int(row["amounts"])
        quantities[row["meter"]] = int(row["quantities"])
    return amount, quantities


def unit_price(tenant_id: UUID, meter: str) -> Decimal:
    """Minor units for one more unit of `meter` at its dearest, rebate off: what a worst case is reckoned with.

    Zero where the tenant's plan has no price for it (a quota then says how much it may use).
    """
    stand = standing(tenant_id)
    component = pricing.component_for(components_of(stand.price), meter) if stand.price else None
    if component is None:
        return Decimal(0)
    return pricing.unit_price(component) * (100 - stand.account.discount_percent) / 100


def quote(tenant_id: UUID, meter: str, quantity: int, *, counted: int = 0) -> Money:
    """What `quantity` of `meter` costs on top of what else is used and not billed, included quantity counted.

    `counted` of it is among what is used already: the price of what was done, or is half done.
    """
    stand = standing(tenant_id)
    return quote_on(stand, open_quantities(stand) if stand.price else {}, meter, quantity, counted=counted)


def quote_on(stand: Standing, used: Mapping[str, int], meter: str, quantity: int, *, counted: int = 0) -> Money:
    """The same on a standing and its open quantities, for many at a time."""
    components = components_of(stand.price) if stand.price else []
    component = pricing.component_for(components, meter)
    if component is None:
        return Money(0, stand.currency)
    taken = sum(amount for name, amount in used.items() if pricing.component_for(components, name) is component)
    already = max(0, taken - counted)
    discount = stand.account.discount_percent
    amount = pricing.marginal(component, already, quantity, discount_percent=discount, step=step(stand.currency))
    return Money(amount, stand.currency)


def entitlements(tenant_id: UUID) -> dict:
    """What the tenant may do, what it used, and what is left: the answer of `GET /v1/entitlements`."""
    stand = standing(tenant_id)
    used = open_quantities(stand)
    held, held_quantities = reserved(tenant_id)
    quotas = {
        meter: {"quota": quota, "used": stand.drawn(meter, used), "reserved": stand.drawn(meter, held_quantities)}
        for meter, quota in stand.quotas.items()
    }
    return {
        "plan": stand.plan.code if stand.plan else None,
        "features": stand.plan.features if stand.plan else [],
        "limits": stand.plan.limits if stand.plan else {},
        "quotas": quotas,
        "period_start": stand.period_start,
        "period_end": stand.period_end,
        "used": used,
        "spend": open_cost(stand, used),
        "reserved": Money(held, stand.currency),
        "spend_limit": None if stand.billing.spend_limit is None else Money(stand.billing.spend_limit, stand.currency),
    }


def components_of(price: PriceVersion) -> list[pricing.Component]:
    """A price's components, parsed once a process: a version never changes."""
    return _parsed(price.pk)


@cache
def _parsed(price_id: UUID) -> list[pricing.Component]:
    return pricing.parse(PriceVersion.objects.only("components").get(pk=price_id).components)
