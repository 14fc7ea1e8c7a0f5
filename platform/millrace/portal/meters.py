"""How meters are called on pages: a family's name, its unit, and the quantity that its price is told for."""

from dataclasses import dataclass

HOUR_MS = 3_600_000
GB_MONTH = 10**9 * 730


@dataclass(frozen=True, slots=True)
class MeterWords:
    """`priced_for` units are one `per`: a price is told for an hour, not for a millisecond."""

    name: str
    unit: str
    priced_for: int
    per: str


FAMILIES = {
    "gpu_ms": MeterWords("GPU time", "ms", HOUR_MS, "hour"),
    "cpu_ms": MeterWords("CPU time", "ms", HOUR_MS, "hour"),
    "predictions": MeterWords("Predictions", "predictions", 1000, "1,000"),
    "prediction_items": MeterWords("Predicted items", "items", 1000, "1,000"),
    "storage_byte_hours": MeterWords("Storage", "byte-hours", GB_MONTH, "GB and month"),
}


def words_of(meter: str) -> MeterWords | None:
    """The family's words; None for a tenant's own meter."""
    return FAMILIES.get(meter.partition(":")[0])


def label(meter: str) -> str:
    """`GPU time, h100` of `gpu_ms:h100`; a tenant's own meter keeps its name, and a price for all of them says so."""
    rest = meter.partition(":")[2]
    known = words_of(meter)
    if known is None:
        return "Your own meters" if rest == "*" else rest or meter
    return known.name + (f", {rest}" if rest else "")
