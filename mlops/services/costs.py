"""What a job will take and cost: an estimate, a worst case, and how they were reached."""

import math
import statistics
from dataclasses import dataclass
from decimal import ROUND_FLOOR, Decimal
from functools import cached_property
from typing import Any
from uuid import UUID

from billing import selectors as prices
from billing.errors import CurrencyMismatch
from millrace.kernel import clock
from millrace.kernel.money import Money
from mlops import policy
from mlops.errors import DeviceUnknown, SpendCapTooLow
from mlops.models import DatasetVersion, Device, Job, JobKind, ModelVersion, Quote

ITEMS_METER = "prediction_items"
_MEASURED_RUNS = 5
# One pass forward takes about a third of a training step.
_FORWARD_FACTOR = 3


@dataclass(frozen=True)
class JobPrice:
    """Device time in milliseconds and money in minor units."""

    meter: str
    currency: str
    unit_price: Decimal
    estimate_ms: int
    limit_ms: int
    estimate: Money
    worst_case: Money
    basis: dict[str, Any]


def device_class_check(device_class: str) -> str:
    """The class itself; DeviceUnknown when no machine of it was ever seen. A processor there always is."""
    if device_class != "cpu" and not Device.objects.filter(device_class=device_class).exists():
        known = sorted({"cpu", *Device.objects.values_list("device_class", flat=True)})
        raise DeviceUnknown(f"Choose from: {', '.join(known)}.", field="device")
    return device_class


def job_price(
    *,
    tenant_id: UUID,
    kind: str,
    recipe: str,
    params: dict[str, Any],
    dataset_version: DatasetVersion,
    device_class: str,
    spend_cap: Money | None,
    time_limit_ms: int | None,
) -> JobPrice:
    """Price a run before it runs. The worst case is what its limit costs, and its predicted items.

    CurrencyMismatch for a cap in another currency than the account's; SpendCapTooLow when the cap buys no run.
    """
    meter = policy.meter_of(device_class_check(device_class))
    unit_price = prices.unit_price(tenant_id, meter)
    items = items_price(tenant_id, kind, dataset_version)
    basis = _work(tenant_id, kind, recipe, params, dataset_version, device_class)
    estimate_ms = basis["startup_ms"] + math.ceil(basis["examples"] / basis["examples_per_second"] * 1000)
    limit_ms = time_limit_ms or max(policy.LIMIT_FLOOR_MS, policy.LIMIT_FACTOR * estimate_ms)
    limit_ms = min(limit_ms, policy.LONGEST_JOB_MS)
    if spend_cap is not None:
        limit_ms = min(limit_ms, affordable_ms(tenant_id, meter, unit_price, spend_cap, items=items))
    return JobPrice(
        meter=meter,
        currency=items.currency,
        unit_price=unit_price,
        estimate_ms=min(estimate_ms, limit_ms),
        limit_ms=limit_ms,
        estimate=prices.quote(tenant_id, meter, min(estimate_ms, limit_ms)) + items,
        worst_case=prices.quote(tenant_id, meter, limit_ms) + items,
        basis=basis | {"unit_price": str(unit_price), "limit_ms": limit_ms, "items_price": items.as_json()},
    )


def items_price(tenant_id: UUID, kind: str, version: DatasetVersion) -> Money:
    """What a job's success costs beside its device time: each item that it predicts."""
    return prices.quote(tenant_id, ITEMS_METER, version.rows if kind == JobKind.BATCH_PREDICT else 0)


class JobCosts:
    """What a tenant's jobs cost so far, at today's price; its prices and its usage are read once for all of them."""

    def __init__(self, tenant_id: UUID) -> None:
        self._tenant_id = tenant_id

    @cached_property
    def _standing(self) -> tuple[prices.Standing, dict[str, int]]:
        standing = prices.standing(self._tenant_id)
        return standing, prices.open_quantities(standing)

    def of(self, job: Job, *, open_ms: int = 0) -> Money:
        """The settled device time, `open_ms` that nothing has settled yet, and the items of a batch that is done."""
        cost = prices.quote_on(*self._standing, job.meter, job.billed_ms + open_ms, counted=job.billed_ms)
        if job.kind != JobKind.BATCH_PREDICT or not job.result:
            return cost
        items = int(job.result["items"])
        return cost + prices.quote_on(*self._standing, ITEMS_METER, items, counted=items)


def affordable_ms(tenant_id: UUID, meter: str, unit_price: Decimal, cap: Money, *, items: Money) -> int:
    """The device time that the cap pays for beside the items: the price, rounded as an invoice would, is not above it."""
    if cap.currency != items.currency:
        raise CurrencyMismatch(f"This account is billed in {items.currency}.", field="spend_cap")
    left, most = cap.amount - items.amount, policy.LONGEST_JOB_MS
    if unit_price > 0:
        most = min(most, int((Decimal(left) / unit_price).to_integral_value(ROUND_FLOOR)))
    if most < policy.SHORTEST_JOB_MS or left < 0:
        least = prices.quote(tenant_id, meter, policy.SHORTEST_JOB_MS) + items
        raise SpendCapTooLow(f"The least run costs {least}.", field="spend_cap", least=least.as_json())
    return most


def quote_make(*, tenant_id: UUID, request: dict[str, Any], price: JobPrice) -> Quote:
    """Keep a price that was named."""
    return Quote.objects.create(
        tenant_id=tenant_id,
        request=request,
        meter=price.meter,
        unit_price=price.unit_price,
        currency=price.currency,
        estimate_ms=price.estimate_ms,
        limit_ms=price.limit_ms,
        estimate_amount=price.estimate.amount,
        worst_case_amount=price.worst_case.amount,
        basis=price.basis,
        expires_at=clock.now() + policy.QUOTE_LIFETIME,
    )


def _work(
    tenant_id: UUID, kind: str, recipe: str, params: dict[str, Any], version: DatasetVersion, device_class: str
) -> dict[str, Any]:
    """Examples to pass over, the speed to expect, and where that speed is from."""
    default = policy.default_speed(device_class)
    measured = _measured_speeds(tenant_id, recipe, params, device_class)
    speed = statistics.median(measured) if measured else default.examples_per_second
    if kind == JobKind.TRAIN:
        examples = version.statistics["train_rows"] * params.get("epochs", 1)
    else:
        held_out_only = kind == JobKind.EVALUATE
        examples = version.statistics["held_out_rows"] if held_out_only else version.rows
        speed *= _FORWARD_FACTOR
    return {
        "examples": examples,
        "examples_per_second": round(speed, 1),
        "speed_from": f"median of {len(measured)} runs" if measured else "default",
        "startup_ms": default.startup_ms,
    }


def _measured_speeds(tenant_id: UUID, recipe: str, params: dict[str, Any], device_class: str) -> list[float]:
    runs = ModelVersion.objects.filter(tenant_id=tenant_id, recipe=recipe, job__device_class=device_class)
    if "form" in params:
        runs = runs.filter(params__form=params["form"])
    results = runs.order_by("-id").values_list("result__examples_per_second", flat=True)[:_MEASURED_RUNS]
    return [float(speed) for speed in results if speed]
