"""The calls on subscriptions: create, read, cancel. Changing one is in `subscription_changes`."""

from datetime import UTC, datetime

from billing.sandbox.api import call
from billing.sandbox.core import Sandbox
from billing.sandbox.errors import refused
from billing.sandbox.periods import add_months, boundary_after, boundary_before
from billing.sandbox.render import page
from billing.sandbox.resources import discounts, invoice_items, invoice_state, subscription_state
from billing.sandbox.resources.catalogue import price_amount
from billing.sandbox.resources.common import assign, jsonable, merge_metadata, rows_filtered
from billing.sandbox.resources.payment_methods import payment_method_given
from billing.sandbox.resources.subscription_items import (
    check_alike,
    interval_of,
    item_new,
    period_of,
    price_given,
    set_period,
    tax_rates_of,
)
from billing.sandbox.resources.subscription_lines import period_lines
from billing.sandbox.state import Obj


@call("POST", "subscriptions", "SubscriptionCreateParams")
def subscription_create(sandbox: Sandbox, params: Obj) -> Obj:
    if "customer" not in params:
        raise refused("Missing required param: customer.", "parameter_missing", "customer")
    return start(sandbox, params, sandbox.find("customer", params["customer"], "customer"))


def start(sandbox: Sandbox, params: Obj, customer: Obj) -> Obj:
    """Begin a subscription; its first invoice is finalised and collected at once."""
    now = sandbox.now_of(customer)
    subscription = sandbox.new("subscription", created=now, customer=customer["id"], start_date=now)
    subscription["test_clock"] = customer["test_clock"]
    for given in params.get("items", []):
        item_new(sandbox, subscription, given, now)
    check_alike(subscription)
    subscription["items"] |= {
        "total_count": len(subscription["items"]["data"]),
        "url": f"/v1/subscription_items?subscription={subscription['id']}",
    }
    subscription["currency"] = subscription["items"]["data"][0]["price"]["currency"]
    if customer["currency"] not in (None, subscription["currency"]):
        raise refused(
            f"You cannot combine currencies on a single customer. This customer has an active subscription, coupon, or "
            f"invoice item with currency {customer['currency']}.",
            param="currency",
        )
    apply_settings(sandbox, subscription, params)
    _set_first_period(subscription, params, now)
    found = [
        discounts.redeem(sandbox, d, customer, subscription=subscription["id"]) for d in params.get("discounts") or []
    ]
    subscription["discounts"] = [discount["id"] for discount in found]
    customer["currency"] = subscription["currency"]
    sandbox.save(customer)
    sandbox.save(subscription)
    _begin(sandbox, subscription, params, customer, now)
    return subscription


def apply_settings(sandbox: Sandbox, subscription: Obj, params: Obj) -> Obj:
    """The settings that create and update share; returns what they were before."""
    previous = assign(subscription, params, "collection_method days_until_due description cancel_at_period_end")
    if "default_payment_method" in params:
        given = params["default_payment_method"]
        previous["default_payment_method"] = subscription["default_payment_method"]
        subscription["default_payment_method"] = payment_method_given(sandbox, given)["id"] if given else None
    if "default_tax_rates" in params:
        subscription["default_tax_rates"] = tax_rates_of(sandbox, params["default_tax_rates"])
    for name in ("payment_settings", "trial_settings", "invoice_settings"):
        if name in params:
            subscription[name] = subscription[name] | jsonable(params[name])
    if (params.get("automatic_tax") or {}).get("enabled"):
        raise refused("Automatic tax is not available in the sandbox.", param="automatic_tax[enabled]")
    merge_metadata(subscription, params)
    return previous


def _set_first_period(subscription: Obj, params: Obj, now: int) -> None:
    trial_end = params.get("trial_end")
    if params.get("trial_period_days"):
        trial_end = now + params["trial_period_days"] * 86_400
    interval, count = interval_of(subscription)
    natural = boundary_after(now, interval, count, now)
    if isinstance(trial_end, int):
        if trial_end <= now:
            raise refused("Invalid timestamp: trial_end must be in the future.", param="trial_end")
        subscription |= {"trial_start": now, "trial_end": trial_end, "status": "trialing"}
        subscription["billing_cycle_anchor"] = params.get("billing_cycle_anchor", trial_end)
        set_period(subscription, now, trial_end)
        return
    anchor = params.get("billing_cycle_anchor")
    if config := params.get("billing_cycle_anchor_config"):
        anchor = _anchor_from(config, now)
        subscription["billing_cycle_anchor_config"] = config
    if anchor is None:
        subscription["billing_cycle_anchor"] = now
        set_period(subscription, now, natural)
        return
    if anchor <= now:
        raise refused("Invalid timestamp: billing_cycle_anchor must be in the future.", param="billing_cycle_anchor")
    if anchor > natural:
        raise refused(
            f"billing_cycle_anchor cannot be later than next natural billing date ({natural}) for plan.",
            param="billing_cycle_anchor",
        )
    subscription["billing_cycle_anchor"] = anchor
    set_period(subscription, now, anchor)


def _anchor_from(config: Obj, now: int) -> int:
    """The next occurrence of the configured day of the month (and time, UTC)."""
    if "month" in config:
        raise refused("billing_cycle_anchor_config[month] is not available in the sandbox.", param="month")
    first = datetime.fromtimestamp(now, UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    seconds = config.get("hour", 0) * 3_600 + config.get("minute", 0) * 60 + config.get("second", 0)
    for months in range(3):
        month = add_months(int(first.timestamp()), months)
        last = add_months(month, 1) - 86_400
        moment = min(month + (config["day_of_month"] - 1) * 86_400, last) + seconds
        if moment > now:
            return moment
    raise AssertionError("a day of the month comes round within three months")


def _begin(sandbox: Sandbox, subscription: Obj, params: Obj, customer: Obj, now: int) -> None:
    behaviour = params.get("payment_behavior", "allow_incomplete")
    trial = subscription["status"] == "trialing"
    free_start = not trial and subscription["billing_cycle_anchor"] > now
    invoice = None
    if free_start and params.get("proration_behavior") == "none":
        subscription["status"] = "active"  # nothing is owed until the anchor
    else:
        invoice = _first_invoice(sandbox, subscription, params, customer, now, free_start)
        if behaviour == "error_if_incomplete" and invoice["amount_due"]:
            _refuse_if_uncollectable(sandbox, subscription, customer)
    sandbox.save(subscription)
    sandbox.emit("customer.subscription.created", subscription)
    subscription_state.plan_period_end(sandbox, subscription)
    if trial:
        subscription_state.plan_trial_warning(sandbox, subscription, now)
    set_cancel_at(sandbox, subscription, params, now)
    if invoice is not None:
        sandbox.emit("invoice.created", invoice)
        invoice_state.finalize(sandbox, invoice, now, collect=behaviour != "default_incomplete")
    if subscription["status"] == "incomplete" and invoice is not None:
        when = now + subscription_state.INCOMPLETE_SECONDS
        sandbox.clock.schedule(subscription["test_clock"], when, "subscription.expire", subscription["id"])


def _first_invoice(sandbox: Sandbox, subscription: Obj, params: Obj, customer: Obj, now: int, free_start: bool) -> Obj:
    invoice = invoice_state.draft(sandbox, customer, subscription["currency"], "subscription_create", now, subscription)
    trial = subscription["status"] == "trialing"
    whole = None
    if free_start:
        anchor = subscription["billing_cycle_anchor"]
        whole = (boundary_before(anchor, *interval_of(subscription), anchor), anchor)
    period_lines(sandbox, invoice, subscription, period_of(subscription), trial=trial, of_period=whole)
    for extra in params.get("add_invoice_items", []):
        _extra_line(sandbox, invoice, extra, now)
    invoice_items.attach_pending(sandbox, invoice, subscription["id"])
    invoice_state.save(sandbox, invoice)
    subscription["latest_invoice"] = invoice["id"]
    if not trial:
        subscription["discounts"] = discounts.after_invoice(sandbox, subscription["discounts"])
        due_later = subscription["collection_method"] == "send_invoice" or not invoice["amount_due"]
        subscription["status"] = "active" if due_later else "incomplete"
    return invoice


def _extra_line(sandbox: Sandbox, invoice: Obj, extra: Obj, now: int) -> None:
    """A one-off item that rides on the first invoice, through the same door as any invoice item."""
    price = price_given(sandbox, extra, "add_invoice_items")
    quantity = extra.get("quantity", 1)
    item = sandbox.new("invoiceitem", customer=invoice["customer"], date=now, currency=invoice["currency"])
    item["amount"] = item["net_amount"] = price_amount(price, quantity)
    item |= {"quantity": quantity, "quantity_decimal": str(quantity), "period": {"start": now, "end": now}}
    product = sandbox.store.get("product", price["product"])
    item |= {"description": product["name"] if product else None, "test_clock": invoice["test_clock"]}
    item["tax_rates"] = tax_rates_of(sandbox, extra.get("tax_rates"))
    item["pricing"] = invoice_state.pricing_of(price, price["unit_amount_decimal"])
    invoice_items.onto_invoice(sandbox, item, invoice)


def _refuse_if_uncollectable(sandbox: Sandbox, subscription: Obj, customer: Obj) -> None:
    """`error_if_incomplete`: say no before anything is made known, so that nothing has changed."""
    from_customer = invoice_state.default_method(sandbox, customer, subscription["default_payment_method"])
    outcome = invoice_state.payments.outcome_of(from_customer, off_session=True) if from_customer else "none"
    if outcome in ("", "dispute"):
        return
    invoice = sandbox.find("invoice", subscription["latest_invoice"])
    sandbox.store.remove("invoice", invoice["id"])
    sandbox.store.remove("subscription", subscription["id"])
    if outcome == "none":
        raise refused("This customer has no attached payment source or default payment method.", "resource_missing")
    raise invoice_state.payments.decline(outcome)


def set_cancel_at(sandbox: Sandbox, subscription: Obj, params: Obj, now: int) -> None:
    """`cancel_at` and `cancel_at_period_end`, with the dates that follow from them."""
    if isinstance(params.get("cancel_at"), int):
        if params["cancel_at"] <= now:
            raise refused("Invalid timestamp: cancel_at must be in the future.", param="cancel_at")
        subscription |= {"cancel_at": params["cancel_at"], "canceled_at": now}
        moment, clock = subscription["cancel_at"], subscription["test_clock"]
        sandbox.clock.schedule(clock, moment, "subscription.cancel", subscription["id"])
    elif params.get("cancel_at") == "":
        subscription |= {"cancel_at": None, "canceled_at": None}
    if "cancel_at_period_end" in params:
        ends = params["cancel_at_period_end"]
        subscription["cancel_at"] = period_of(subscription)[1] if ends else None
        subscription["canceled_at"] = now if ends else None
        subscription["cancellation_details"]["reason"] = "cancellation_requested" if ends else None
    sandbox.save(subscription)


@call("GET", "subscriptions", "SubscriptionListParams")
def subscription_list(sandbox: Sandbox, params: Obj) -> Obj:
    given = dict(params)
    wanted = given.pop("status", None)
    rows = rows_filtered(sandbox, "subscription", given, "customer test_clock", "collection_method")
    if wanted is None:
        rows = (s for s in rows if s["status"] != "canceled")
    elif wanted == "ended":
        rows = (s for s in rows if s["status"] in subscription_state.ENDED)
    elif wanted != "all":
        rows = (s for s in rows if s["status"] == wanted)
    if "price" in given:
        rows = (s for s in rows if any(item["price"]["id"] == given["price"] for item in s["items"]["data"]))
    return page(sandbox.store, "subscription", rows, params, "/v1/subscriptions")


@call("GET", "subscriptions/{id}", "SubscriptionRetrieveParams")
def subscription_retrieve(sandbox: Sandbox, params: Obj, ident: str) -> Obj:
    return sandbox.find("subscription", ident)


@call("DELETE", "subscriptions/{id}", "SubscriptionCancelParams")
def subscription_cancel(sandbox: Sandbox, params: Obj, ident: str) -> Obj:
    subscription = sandbox.find("subscription", ident)
    if subscription["status"] in subscription_state.ENDED:
        raise refused(f"No such subscription: '{ident}'", "resource_missing", "id")
    details = jsonable(params.get("cancellation_details") or {})
    subscription["cancellation_details"] |= details
    return subscription_state.cancel_now(
        sandbox,
        subscription,
        sandbox.now_of(subscription),
        prorate=params.get("prorate", False),
        invoice_now=params.get("invoice_now", False),
    )
