"""Stripe's published test cards: what each number, or ready-made payment method, does when it is charged."""

from typing import NamedTuple

from billing.sandbox.errors import StripeError, card_error, refused


class Card(NamedTuple):
    """`attach`, `charge`: an outcome in OUTCOMES, "" (success), "auth" (asks the cardholder) or "dispute"."""

    number: str
    brand: str = "visa"
    charge: str = ""
    attach: str = ""
    country: str = "US"


_CARDS = [
    Card("4242424242424242"),
    Card("4000056655665556"),
    Card("5555555555554444", "mastercard"),
    Card("2223003122003222", "mastercard"),
    Card("378282246310005", "amex"),
    Card("6200000000000005", "unionpay", country="CN"),
    Card("4000001560000002", country="CN"),
    Card("4000000000000077"),  # funds available at once; here they always are
    Card("4000000000000002", charge="generic_decline", attach="generic_decline"),
    Card("4000000000009995", charge="insufficient_funds", attach="insufficient_funds"),
    Card("4000000000009987", charge="lost_card", attach="lost_card"),
    Card("4000000000000069", charge="expired_card", attach="expired_card"),
    Card("4000000000000127", charge="incorrect_cvc", attach="incorrect_cvc"),
    Card("4000000000000119", charge="processing_error", attach="processing_error"),
    Card("4000000000000341", charge="generic_decline"),
    Card("4000000000000259", charge="dispute"),
    Card("4000002500003155", charge="auth_setup"),
    Card("4000002760003184", charge="auth"),
]
BY_NUMBER = {card.number: card for card in _CARDS}

READY_MADE = {
    "visa": "4242424242424242",
    "visa_debit": "4000056655665556",
    "mastercard": "5555555555554444",
    "amex": "378282246310005",
    "unionpay": "6200000000000005",
    "cn": "4000001560000002",
    "bypassPending": "4000000000000077",
    "chargeDeclined": "4000000000000002",
    "visa_chargeDeclined": "4000000000000002",
    "chargeDeclinedInsufficientFunds": "4000000000009995",
    "visa_chargeDeclinedInsufficientFunds": "4000000000009995",
    "visa_chargeDeclinedLostCard": "4000000000009987",
    "chargeDeclinedExpiredCard": "4000000000000069",
    "chargeDeclinedIncorrectCvc": "4000000000000127",
    "chargeDeclinedProcessingError": "4000000000000119",
    "chargeCustomerFail": "4000000000000341",
    "createDispute": "4000000000000259",
    "authenticationRequired": "4000002760003184",
    "authenticationRequiredOnSetup": "4000002500003155",
    "authenticationRequiredSetupForOffSession": "4000002500003155",
}

# outcome -> (code, decline_code, message)
OUTCOMES = {
    "generic_decline": ("card_declined", "generic_decline", "Your card was declined."),
    "insufficient_funds": ("card_declined", "insufficient_funds", "Your card has insufficient funds."),
    "lost_card": ("card_declined", "lost_card", "Your card was declined."),
    "expired_card": ("expired_card", None, "Your card has expired."),
    "incorrect_cvc": ("incorrect_cvc", None, "Your card's security code is incorrect."),
    "processing_error": ("processing_error", None, "An error occurred while processing your card. Try again later."),
    "authentication_required": (
        "authentication_required",
        "authentication_required",
        "Your card was declined. This transaction requires authentication.",
    ),
}


def card_by_number(number: str) -> Card:
    """The test card of this number; a number that is no test card is refused, as real cards are in test mode."""
    digits = number.replace(" ", "").replace("-", "")
    card = BY_NUMBER.get(digits)
    if card is not None:
        return card
    if not digits.isdigit() or not luhn(digits):
        raise card_error("Your card number is incorrect.", "incorrect_number", param="number")
    raise card_error(
        "Your card was declined. Your request was in test mode, but used a non test (live) card.",
        "card_declined",
        "test_mode_live_card",
    )


def card_by_token(name: str) -> Card:
    """The test card behind `pm_card_visa` or `tok_visa`."""
    for prefix in ("pm_card_", "tok_"):
        if name.startswith(prefix) and name.removeprefix(prefix) in READY_MADE:
            return BY_NUMBER[READY_MADE[name.removeprefix(prefix)]]
    raise refused(f"No such PaymentMethod: '{name}'", "resource_missing", "payment_method")


def luhn(digits: str) -> bool:
    """The check digit of card numbers (ISO/IEC 7812-1)."""
    total = 0
    for index, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + index % 2)
        total += value - 9 if value > 9 else value
    return 12 <= len(digits) <= 19 and total % 10 == 0


def decline(outcome: str, **extra: object) -> StripeError:
    """The 402 that belongs to an outcome."""
    code, decline_code, message = OUTCOMES[outcome]
    return card_error(message, code, decline_code, **extra)
