"""May the tenant do this, and is there money for it? Checked, and held, under one lock a tenant."""

from datetime import datetime
from uuid import UUID

from django.db import transaction

from accounts.selectors import tenant_by_id
from billing.errors import CurrencyMismatch, FeatureNotInPlan, QuotaExceeded, SpendLimitReached, TenantNotServed
from billing.models import Reservation, TenantBilling
from billing.selectors import spending as reads
from millrace.kernel import clock
from millrace.kernel.errors import Conflict, Invalid
from millrace.kernel.money import Money

_NOT_SERVED = {"suspended", "closed"}


def check(*, tenant_id: UUID, feature: str = "", meter: str = "", quantity: int = 1) -> None:
    """Refuse (402, coded) what the tenant's state, plan, quota or spend limit does not allow; otherwise nothing.

    `quantity` of `meter` is what is about to be used. It holds nothing: work that runs for long reserves.
    """
    _served(tenant_id)
    stand = reads.standing(tenant_id)
    if feature and feature not in (stand.plan.features if stand.plan else []):
        raise FeatureNotInPlan(f"This needs a plan with {feature!r}.", feature=feature)
    if meter and stand.is_bounded:
        used = reads.open_quantities(stand)
        held, held_quantities = reads.reserved(tenant_id)
        _within_quota(stand, meter, quantity, used, held_quantities)
        if stand.billing.spend_limit is not None:
            after = used | {meter: used.get(meter, 0) + quantity}
            _within_limit(stand, reads.open_cost(stand, after).amount + held)


def spend_reserve(
    *,
    tenant_id: UUID,
    amount: int,
    currency: str,
    key: str,
    expires_at: datetime,
    meter: str = "",
    quantity: int = 0,
) -> Reservation:
    """Hold `amount` minor units (and `quantity` of `meter`, where a quota rules) until it is released or expires.

    SpendLimitReached when what is used and not billed, what is held, and this exceed the tenant's limit;
    QuotaExceeded likewise. The tenant's billing row is locked meanwhile, so two reservations cannot both take the
    last of it. The same key again sets the held amount anew. Call it in the transaction of what it is for.
    """
    if amount < 0 or quantity < 0:
        raise Invalid("A reservation is not negative.", field="amount")
    with transaction.atomic():
        list(TenantBilling.objects.select_for_update().filter(tenant_id=tenant_id))
        _served(tenant_id)
        stand = reads.standing(tenant_id)
        if currency != stand.currency:
            raise CurrencyMismatch(f"This account is billed in {stand.currency}.", field="currency")
        known = Reservation.objects.filter(tenant_id=tenant_id, key=key).first()
        if known is not None and known.released_at is not None:
            raise Conflict("This reservation was released; use another key.", field="key")
        if stand.is_bounded:
            used = reads.open_quantities(stand)
            held, held_quantities = reads.reserved(tenant_id, besides=key)
            if meter:
                _within_quota(stand, meter, quantity, used, held_quantities)
            _within_limit(stand, reads.open_cost(stand, used).amount + held + amount)
        values = {
            "amount": amount, "currency": currency, "meter": meter, "quantity": quantity, "expires_at": expires_at,
        }  # fmt: skip
        held_row, _ = Reservation.objects.update_or_create(tenant_id=tenant_id, key=key, defaults=values)
    return held_row


def spend_release(*, tenant_id: UUID, key: str) -> bool:
    """Let a reservation go: its work was metered, or will not be. Safe to repeat; says whether it was open."""
    open_row = Reservation.objects.filter(tenant_id=tenant_id, key=key, released_at__isnull=True)
    return bool(open_row.update(released_at=clock.now()))


def _served(tenant_id: UUID) -> None:
    state = tenant_by_id(tenant_id).state
    if state in _NOT_SERVED:
        raise TenantNotServed(f"This tenant is {state}.", state=state)


def _within_quota(stand: reads.Standing, meter: str, quantity: int, used: dict[str, int], held: dict[str, int]) -> None:
    if stand.subscription is not None:
        return
    quota = stand.quotas.get(stand.quota_meter(meter), 0)
    taken = stand.drawn(meter, used) + stand.drawn(meter, held)
    if taken + quantity > quota:
        raise QuotaExceeded(
            f"The plan allows {quota:,} {meter} a month; {taken:,} are used or promised. Subscribe to go on.",
            meter=meter, quota=quota, used=taken,
        )  # fmt: skip


def _within_limit(stand: reads.Standing, after: int) -> None:
    limit = stand.billing.spend_limit
    if limit is not None and after > limit:
        raise SpendLimitReached(
            f"This would bring the period's usage to {Money(after, stand.currency)}; "
            f"the limit is {Money(limit, stand.currency)}.",
            limit=Money(limit, stand.currency).as_json(),
        )  # fmt: skip
