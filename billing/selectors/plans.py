"""What is for sale, and what a tenant bought."""

from uuid import UUID

from django.db.models import F, OuterRef, QuerySet, Subquery

from billing.models import LIVE, PriceVersion, Subscription, SubscriptionStatus

FREE_PLAN = "free"


def plans_for_sale(currency: str) -> QuerySet[PriceVersion]:
    """The newest price of each public plan in a currency, cheapest plan first."""
    newest = (
        PriceVersion.objects.filter(plan=OuterRef("plan"), currency=currency, retired_at__isnull=True)
        .order_by("-version")
        .values("id")[:1]
    )
    return (
        PriceVersion.objects.filter(id=Subquery(newest), plan__is_public=True)
        .select_related("plan")
        .order_by(F("plan__rank").asc(), "id")
    )


def plan_price(code: str, currency: str) -> PriceVersion | None:
    """The newest price of one plan in a currency; None where it is not sold in it."""
    prices = PriceVersion.objects.filter(plan__code=code, currency=currency, retired_at__isnull=True)
    return prices.select_related("plan").order_by("-version").first()


def live_subscription(tenant_id: UUID) -> Subscription | None:
    """The subscription that the tenant's plan comes from; None on the free plan."""
    found = Subscription.objects.filter(tenant_id=tenant_id, status__in=LIVE)
    return found.select_related("price_version__plan", "next_price__plan", "billing_account").order_by("-id").first()


def has_subscribed(tenant_id: UUID) -> bool:
    """Whether the tenant has or had a subscription: a trial is for finding out, once. One whose first payment was never
    made does not count."""
    begun = Subscription.objects.filter(tenant_id=tenant_id)
    return begun.exclude(status=SubscriptionStatus.INCOMPLETE_EXPIRED).exists()
