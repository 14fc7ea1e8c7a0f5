"""Money is an integer of minor units with its currency. Never a float."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

from millrace.kernel.errors import Invalid

# ISO 4217 minor-unit exponents of the currencies that Millrace bills in.
EXPONENTS = {
    "CNY": 2, "USD": 2, "EUR": 2, "GBP": 2, "HKD": 2, "SGD": 2, "AUD": 2, "CAD": 2, "CHF": 2, "SEK": 2, "INR": 2,
    "JPY": 0, "KRW": 0, "KWD": 3, "BHD": 3,
}  # fmt: skip


class UnknownCurrency(Invalid):
    """The currency is not one that Millrace bills in."""

    code = "currency_unknown"
    title = "The currency is not one that is billed in"


def exponent(currency: str) -> int:
    """How many decimal places the currency's minor unit is; UnknownCurrency for any other."""
    try:
        return EXPONENTS[currency]
    except KeyError as error:
        raise UnknownCurrency(f"{currency!r} is not a known currency.", field="currency") from error


def step(currency: str) -> int:
    """What an amount that is charged is a multiple of, in minor units: 10 in currencies with three decimals, whose last
    digit the payment service and its partners take as nought only."""
    return 10 if exponent(currency) == 3 else 1


@dataclass(frozen=True, order=False, slots=True)
class Money:
    """An amount in minor units (fen, cents, yen) of one currency; mixing currencies is an error."""

    amount: int
    currency: str

    def __post_init__(self) -> None:
        if type(self.amount) is not int:
            raise TypeError(f"Money takes whole minor units, not {self.amount!r}.")
        exponent(self.currency)

    def __add__(self, other: "Money") -> "Money":
        self._same(other)
        return Money(self.amount + other.amount, self.currency)

    def __sub__(self, other: "Money") -> "Money":
        self._same(other)
        return Money(self.amount - other.amount, self.currency)

    def __neg__(self) -> "Money":
        return Money(-self.amount, self.currency)

    def __str__(self) -> str:
        places = exponent(self.currency)
        return f"{self.currency} {Decimal(self.amount).scaleb(-places):,.{places}f}"

    def as_json(self) -> dict:
        """The API's spelling: `{"amount": minor units, "currency": "CNY"}`."""
        return {"amount": self.amount, "currency": self.currency}

    def _same(self, other: "Money") -> None:
        if self.currency != other.currency:
            raise ValueError(f"{self.currency} and {other.currency} do not add up.")


def round_minor(value: Decimal) -> int:
    """Round a Decimal of minor units to whole ones, half away from zero: the one rounding of an invoice line."""
    return int(value.quantize(Decimal(1), rounding=ROUND_HALF_UP))


def to_minor(value: Decimal, currency: str) -> int:
    """Major units (12.34) to minor ones (1234), half away from zero."""
    return round_minor(value.scaleb(exponent(currency)))


def allocate(amount: int, weights: Sequence[int]) -> list[int]:
    """Split `amount` in proportion to `weights` so that the parts sum to it exactly.

    Largest-remainder method; ties go to the earlier part. Works for negative amounts by symmetry. All-zero weights
    put everything on the first part; no weights with a non-zero amount is an error.
    """
    if any(weight < 0 for weight in weights):
        raise ValueError("Weights must not be negative.")
    if not weights:
        if amount:
            raise ValueError("There is nobody to allocate to.")
        return []
    total = sum(weights)
    if total == 0:
        return [amount] + [0] * (len(weights) - 1)
    sign = -1 if amount < 0 else 1
    shares = [abs(amount) * weight // total for weight in weights]
    remainders = [abs(amount) * weight % total for weight in weights]
    left = abs(amount) - sum(shares)
    for index in sorted(range(len(weights)), key=lambda i: (-remainders[i], i))[:left]:
        shares[index] += 1
    return [sign * share for share in shares]
