"""Shapes of the billing resources: subscriptions, invoices and what hangs on them, and checkout."""

from typing import Any


def _nulls(names: str) -> dict[str, Any]:
    return dict.fromkeys(names.split())


_TEST = {"livemode": False, "metadata": {}}
_LIST = {"object": "list", "data": [], "has_more": False, "url": ""}
_NO_TAX = {"enabled": False, "liability": None, "disabled_reason": None}

BILLING: dict[str, dict[str, Any]] = {
    "subscription": _TEST
    | _nulls("application application_fee_percent billing_cycle_anchor billing_cycle_anchor_config")
    | _nulls("billing_schedules billing_thresholds cancel_at canceled_at created currency customer customer_account")
    | _nulls("days_until_due default_payment_method default_source description ended_at id latest_invoice")
    | _nulls("managed_payments next_pending_invoice_item_invoice on_behalf_of pause_collection")
    | _nulls("pending_invoice_item_interval pending_setup_intent pending_update schedule start_date test_clock")
    | _nulls("transfer_data trial_end trial_start")
    | {"automatic_tax": _NO_TAX, "billing_mode": {"type": "classic", "flexible": None}}
    | {"cancel_at_period_end": False, "cancellation_details": _nulls("comment feedback reason")}
    | {"collection_method": "charge_automatically", "default_tax_rates": [], "discounts": [], "items": _LIST}
    | {"invoice_settings": {"account_tax_ids": None, "issuer": {"type": "self"}} | _nulls("custom_fields description")}
    | {
        "payment_settings": _nulls("payment_method_options payment_method_types")
        | {"save_default_payment_method": "off"}
    }
    | {"trial_settings": {"end_behavior": {"missing_payment_method": "create_invoice"}}, "status": "incomplete"},
    "subscription_item": _nulls("billing_thresholds created current_period_end current_period_start id price plan")
    | _nulls("subscription")
    | {"discounts": [], "metadata": {}, "quantity": 1, "tax_rates": []},
    "plan": _nulls("amount amount_decimal created currency id interval meter nickname product tiers_mode")
    | _nulls("transform_usage trial_period_days")
    | {"active": True, "billing_scheme": "per_unit", "interval_count": 1, "livemode": False, "metadata": {}}
    | {"usage_type": "licensed"},
    "invoice": _TEST
    | _nulls("account_name account_tax_ids application automatically_finalizes_at billing_reason created currency")
    | _nulls("custom_fields customer customer_account customer_address customer_email customer_name customer_phone")
    | _nulls("customer_shipping default_payment_method default_source description due_date effective_at")
    | _nulls("ending_balance footer from_invoice hosted_invoice_url id invoice_pdf last_finalization_error")
    | _nulls("latest_revision next_payment_attempt number on_behalf_of parent period_end period_start receipt_number")
    | _nulls("rendering shipping_cost shipping_details statement_descriptor subtotal_excluding_tax test_clock")
    | _nulls("total_excluding_tax webhooks_delivered_at")
    | {"account_country": "CN", "amount_due": 0, "amount_overpaid": 0, "amount_paid": 0, "amount_remaining": 0}
    | {"amount_shipping": 0, "attempt_count": 0, "attempted": False, "auto_advance": False, "status": "draft"}
    | {"automatic_tax": _NO_TAX | {"provider": None, "status": None}, "collection_method": "charge_automatically"}
    | {"customer_tax_exempt": "none", "customer_tax_ids": [], "default_tax_rates": [], "discounts": []}
    | {"issuer": {"type": "self"}, "lines": _LIST, "post_payment_credit_notes_amount": 0, "starting_balance": 0}
    | {"pre_payment_credit_notes_amount": 0, "subtotal": 0, "total": 0, "total_discount_amounts": []}
    | {"payment_settings": _nulls("default_mandate payment_method_options payment_method_types")}
    | {"status_transitions": _nulls("finalized_at marked_uncollectible_at paid_at voided_at")}
    | {"total_pretax_credit_amounts": [], "total_taxes": []},
    "line_item": _TEST
    | _nulls("amount currency description id invoice parent period pricing quantity_decimal subscription subtotal")
    | {"discount_amounts": [], "discountable": True, "discounts": [], "pretax_credit_amounts": [], "taxes": []}
    | {"quantity": 1},
    "invoiceitem": _TEST
    | _nulls("amount currency customer customer_account date description id invoice net_amount parent period pricing")
    | _nulls("quantity_decimal test_clock")
    | {"discountable": True, "discounts": [], "proration": False, "quantity": 1, "tax_rates": []},
    "invoice_payment": _nulls("amount_paid amount_requested created currency id invoice payment")
    | {"is_default": True, "livemode": False, "status": "open"}
    | {"status_transitions": _nulls("canceled_at paid_at")},
    "credit_note": _TEST
    | _nulls("amount created currency customer customer_account customer_balance_transaction effective_at id invoice")
    | _nulls("memo number out_of_band_amount pdf reason shipping_cost voided_at")
    | {"amount_shipping": 0, "discount_amount": 0, "discount_amounts": [], "lines": _LIST, "refunds": []}
    | {"post_payment_amount": 0, "pre_payment_amount": 0, "pretax_credit_amounts": [], "status": "issued"}
    | {"subtotal": 0, "subtotal_excluding_tax": 0, "total": 0, "total_excluding_tax": 0, "total_taxes": []}
    | {"type": "pre_payment"},
    "credit_note_line_item": _nulls("amount description id invoice_line_item metadata unit_amount unit_amount_decimal")
    | {"discount_amount": 0, "discount_amounts": [], "livemode": False, "pretax_credit_amounts": [], "quantity": 1}
    | {"tax_rates": [], "taxes": [], "type": "custom_line_item"},
    "customer_balance_transaction": _TEST
    | _nulls("amount created credit_note currency customer description ending_balance id invoice type"),
    "item": _nulls("adjustable_quantity currency description id metadata price")
    | {"amount_discount": 0, "amount_subtotal": 0, "amount_tax": 0, "amount_total": 0, "quantity": 1},
    "checkout.session": _TEST
    | _nulls("adaptive_pricing after_expiration allow_promotion_codes amount_subtotal amount_total")
    | _nulls("billing_address_collection cancel_url client_reference_id client_secret collected_information consent")
    | _nulls("consent_collection created currency currency_conversion customer customer_account customer_creation")
    | _nulls("customer_details customer_email discounts expires_at id integration_identifier invoice invoice_creation")
    | _nulls("locale managed_payments mode origin_context payment_intent payment_link payment_method_collection")
    | _nulls("payment_method_configuration_details permissions recovered_from saved_payment_method_options")
    | _nulls("setup_intent shipping_address_collection shipping_cost submit_type subscription success_url")
    | _nulls("total_details url wallet_options")
    | {"automatic_tax": {"enabled": False, "liability": None, "provider": None, "status": None}, "custom_fields": []}
    | {"custom_text": _nulls("after_submit shipping_address submit terms_of_service_acceptance"), "status": "open"}
    | {"payment_method_options": {}, "payment_method_types": ["card"], "payment_status": "unpaid"}
    | {"phone_number_collection": {"enabled": False}, "shipping_options": [], "ui_mode": "hosted"},
}
