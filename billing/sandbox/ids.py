"""Identifiers that look like Stripe's, and the map from their prefixes back to the kinds of object."""

import secrets
import string

_ALPHABET = string.ascii_letters + string.digits

PREFIXES = {
    "account": "acct",
    "balance_transaction": "txn",
    "billing_portal.session": "bps",
    "charge": "ch",
    "checkout.session": "cs_test",
    "coupon": "",
    "credit_note": "cn",
    "credit_note_line_item": "cnli",
    "customer": "cus",
    "customer_balance_transaction": "cbtxn",
    "discount": "di",
    "dispute": "du",
    "event": "evt",
    "invoice": "in",
    "invoice_payment": "inpay",
    "invoiceitem": "ii",
    "item": "li",
    "line_item": "il",
    "payment_intent": "pi",
    "payment_method": "pm",
    "price": "price",
    "product": "prod",
    "promotion_code": "promo",
    "refund": "re",
    "setup_intent": "seti",
    "subscription": "sub",
    "subscription_item": "si",
    "tax_rate": "txr",
    "test_helpers.test_clock": "clock",
    "transfer": "tr",
    "transfer_reversal": "trr",
    "webhook_endpoint": "we",
}

KIND_OF_PREFIX = {prefix: kind for kind, prefix in PREFIXES.items() if prefix and "_" not in prefix}


def token(length: int) -> str:
    """`length` characters of letters and digits, from the system's random source."""
    return "".join(_ALPHABET[byte % 62] for byte in secrets.token_bytes(length))


def new_id(kind: str) -> str:
    """A fresh id for an object of this kind."""
    prefix = PREFIXES[kind]
    return f"{prefix}_{token(24)}" if prefix else token(8)


def kind_of(ident: str) -> str | None:
    """The kind an id belongs to by its prefix, or None when the prefix is unknown."""
    if ident.startswith("cs_test_"):
        return "checkout.session"
    return KIND_OF_PREFIX.get(ident.partition("_")[0])
