"""What the story's company sells: a handwritten-digit recogniser, by the month and by the recognition.

Amounts in fen (CNY 0.01). `settle_on` chooses how many recognitions the last machine reports so that the month comes to
a round sum; it asks the billing engine what the others' come to.
"""

from dataclasses import dataclass
from decimal import Decimal

from billing import pricing

CURRENCY = "CNY"
OWN_METER = "recognitions"
REBATE_PERCENT = Decimal(25)

_DEVICE = [
    {"kind": "per_unit", "meter": "cpu_ms", "unit_price": "0.002"},
    {"kind": "per_unit", "meter": "gpu_ms", "unit_price": "0.02"},
    {"kind": "per_unit", "meter": "predictions", "unit_price": "1"},
    {"kind": "per_unit", "meter": "prediction_items", "unit_price": "1"},
]


@dataclass(frozen=True)
class Offer:
    """One plan of the company."""

    code: str
    name: str
    description: str
    fee: int
    recognition: str
    minimum: int = 0

    @property
    def components(self) -> list[dict]:
        """How its usage is rated."""
        return [*_DEVICE, {"kind": "per_unit", "meter": "own:*", "unit_price": self.recognition}]

    def owed(self, recognitions: int, rebate: Decimal = Decimal(0)) -> int:
        """What a month comes to, by the billing engine."""
        quantities = {f"own:{OWN_METER}": recognitions}
        lines = pricing.rate(pricing.parse(self.components), quantities, minimum=self.minimum, discount_percent=rebate)
        fee = pricing.Flat(name="fee", amount=self.fee)
        charged = pricing.rate([fee], {}, discount_percent=rebate) if self.fee else []
        return sum(line.amount for line in [*lines, *charged])


OFFERS = {
    offer.code: offer
    for offer in (
        Offer(
            "edge",
            "Recogniser Edge",
            "One line: the recogniser on your own machines, paid by the reading.",
            199_000,
            "2",
        ),
        Offer("line", "Recogniser Line", "A factory: a lower price for each reading.", 699_000, "1.5"),
        Offer(
            "works",
            "Recogniser Works",
            "Train your own: device time and readings, with a monthly minimum.",
            0,
            "1",
            2_000_000,
        ),
    )
}


def settle_on(total: int, others: int, filler: Offer) -> int:
    """How many recognitions of `filler` bring a month with `others` to `total`; ValueError when none do."""
    price = int(filler.recognition)
    left = total - others - filler.fee
    if left < 0 or left % price:
        raise ValueError(f"{left} fen are no whole number of recognitions at {price} fen.")
    return left // price
