"""The shape of each resource: every key that an answer carries, with the value it has before anything is known.

`make` gives a fresh copy. A test compares these keys with Stripe's published examples where those are at hand.
"""

from functools import cache
from typing import Any

import msgspec

from billing.sandbox.skeletons_billing import BILLING


def nulls(names: str) -> dict[str, Any]:
    """Keys that start as null."""
    return dict.fromkeys(names.split())


ADDRESS = nulls("city country line1 line2 postal_code state")
EMPTY_LIST = {"object": "list", "data": [], "has_more": False, "url": ""}
TEST = {"livemode": False, "metadata": {}}

_CORE: dict[str, dict[str, Any]] = {
    "customer": TEST
    | nulls("address created currency default_source description discount email id name phone shipping test_clock")
    | {"balance": 0, "delinquent": False, "invoice_prefix": "", "next_invoice_sequence": 1, "preferred_locales": []}
    | {
        "tax_exempt": "none",
        "invoice_settings": nulls("custom_fields default_payment_method footer rendering_options"),
    },
    "product": TEST
    | nulls("created default_price description id name package_dimensions shippable statement_descriptor tax_code")
    | nulls("unit_label updated url")
    | {"active": True, "images": [], "marketing_features": [], "type": "service"},
    "price": TEST
    | nulls("created currency custom_unit_amount id lookup_key nickname product recurring tiers_mode")
    | nulls("transform_quantity unit_amount unit_amount_decimal")
    | {"active": True, "billing_scheme": "per_unit", "tax_behavior": "unspecified", "type": "one_time"},
    "coupon": TEST
    | nulls("amount_off created currency duration_in_months id max_redemptions name percent_off redeem_by")
    | {"duration": "once", "times_redeemed": 0, "valid": True},
    "promotion_code": TEST
    | nulls("code created customer customer_account expires_at id max_redemptions")
    | {"active": True, "times_redeemed": 0, "promotion": {"coupon": None, "type": "coupon"}}
    | {
        "restrictions": {
            "first_time_transaction": False,
            "minimum_amount": None,
            "minimum_amount_currency": None,
        }
    },
    "tax_rate": TEST
    | nulls("country created description display_name effective_percentage flat_amount id jurisdiction")
    | nulls("jurisdiction_level rate_type state tax_type")
    | {"active": True, "inclusive": False, "percentage": 0},
    "discount": nulls("checkout_session customer customer_account end id invoice invoice_item promotion_code start")
    | nulls("subscription subscription_item")
    | {"source": {"coupon": None, "type": "coupon"}},
    "payment_method": TEST
    | nulls("created customer customer_account id")
    | {
        "allow_redisplay": "unspecified",
        "billing_details": {"address": ADDRESS, "email": None, "name": None, "phone": None, "tax_id": None},
        "card": {
            "brand": "visa",
            "checks": {"address_line1_check": None, "address_postal_code_check": None, "cvc_check": "unchecked"},
            "country": "US",
            "display_brand": "visa",
            "exp_month": 12,
            "exp_year": 2034,
            "fingerprint": None,
            "funding": "credit",
            "generated_from": None,
            "last4": "4242",
            "networks": {"available": ["visa"], "preferred": None},
            "regulated_status": "unregulated",
            "three_d_secure_usage": {"supported": True},
            "wallet": None,
        },
        "type": "card",
    },
    "payment_intent": TEST
    | nulls("application application_fee_amount automatic_payment_methods canceled_at cancellation_reason")
    | nulls("client_secret created currency customer customer_account description excluded_payment_method_types id")
    | nulls("last_payment_error latest_charge managed_payments next_action on_behalf_of payment_method")
    | nulls("payment_method_configuration_details processing receipt_email review setup_future_usage shipping source")
    | nulls("statement_descriptor statement_descriptor_suffix transfer_data transfer_group")
    | {"amount": 0, "amount_capturable": 0, "amount_details": {"tip": {}}, "amount_received": 0}
    | {"capture_method": "automatic", "confirmation_method": "automatic", "status": "requires_payment_method"}
    | {"payment_method_options": {}, "payment_method_types": ["card"]},
    "setup_intent": TEST
    | nulls("application automatic_payment_methods cancellation_reason client_secret created customer description")
    | nulls("excluded_payment_method_types flow_directions id last_setup_error latest_attempt mandate next_action")
    | nulls("on_behalf_of payment_method payment_method_configuration_details single_use_mandate")
    | {"payment_method_options": {}, "payment_method_types": ["card"], "usage": "off_session"}
    | {"status": "requires_payment_method"},
    "charge": TEST
    | nulls("application application_fee application_fee_amount balance_transaction created currency customer")
    | nulls("description failure_balance_transaction failure_code failure_message id on_behalf_of payment_intent")
    | nulls("payment_method payment_method_details receipt_email receipt_number receipt_url review shipping source")
    | nulls("source_transfer statement_descriptor statement_descriptor_suffix transfer_data transfer_group")
    | {"amount": 0, "amount_captured": 0, "amount_refunded": 0, "captured": True, "disputed": False}
    | {"calculated_statement_descriptor": "MILLRACE SANDBOX", "fraud_details": {}, "outcome": None, "paid": True}
    | {"billing_details": {"address": ADDRESS, "email": None, "name": None, "phone": None, "tax_id": None}}
    | {"refunded": False, "refunds": EMPTY_LIST, "status": "succeeded"},
    "refund": nulls("amount balance_transaction charge created currency customer customer_account id payment_intent")
    | nulls("payment_method reason receipt_number source_transfer_reversal transfer_reversal")
    | {"destination_details": {"card": {"type": "refund"}, "type": "card"}, "metadata": {}, "status": "succeeded"},
    "dispute": TEST
    | nulls("amount charge created currency id payment_intent")
    | {"balance_transactions": [], "evidence": {}, "is_charge_refundable": False, "enhanced_eligibility_types": []}
    | {"evidence_details": {"due_by": None, "has_evidence": False, "past_due": False, "submission_count": 0}}
    | {"reason": "fraudulent", "status": "needs_response", "payment_method_details": {"card": {}, "type": "card"}},
    "balance_transaction": nulls("amount available_on created currency description exchange_rate id net source")
    | {"balance_type": "payments", "fee": 0, "fee_details": [], "reporting_category": "", "status": "available"}
    | {"type": ""},
    "event": nulls("api_version created data id type")
    | {"livemode": False, "pending_webhooks": 0, "request": {"id": None, "idempotency_key": None}},
    "webhook_endpoint": TEST
    | nulls("api_version application created description id url")
    | {"enabled_events": [], "status": "enabled"},
    "test_helpers.test_clock": nulls("created deletes_after frozen_time id name")
    | {"livemode": False, "status": "ready", "status_details": {}},
    "account": nulls("business_profile business_type country created default_currency email id")
    | {"capabilities": {}, "charges_enabled": False, "controller": {"type": "application"}, "metadata": {}}
    | {"details_submitted": False, "external_accounts": EMPTY_LIST, "payouts_enabled": False, "settings": {}}
    | {"tos_acceptance": nulls("date ip user_agent"), "type": "express", "future_requirements": {}}
    | {"requirements": {"currently_due": [], "disabled_reason": None, "errors": [], "eventually_due": []}},
    "transfer": TEST
    | nulls("balance_transaction created currency description destination destination_payment id")
    | nulls("source_transaction transfer_group")
    | {"amount": 0, "amount_reversed": 0, "reversals": EMPTY_LIST, "reversed": False, "source_type": "card"},
    "transfer_reversal": nulls("amount balance_transaction created currency destination_payment_refund id")
    | nulls("source_refund transfer")
    | {"metadata": {}},
    "billing_portal.session": nulls("created customer customer_account flow id locale on_behalf_of return_url url")
    | {"configuration": "bpc_sandbox", "livemode": False},
}


@cache
def _encoded(kind: str) -> bytes:
    skeleton = _CORE.get(kind) or BILLING[kind]
    return msgspec.json.encode({"object": kind} | skeleton)


def make(kind: str) -> dict[str, Any]:
    """A fresh object of this kind with all its keys; KeyError for a kind the sandbox does not have."""
    return msgspec.json.decode(_encoded(kind))


def kinds() -> list[str]:
    """Every kind the sandbox can make."""
    return sorted({*_CORE, *BILLING})
