"""Products, prices, coupons, promotion codes and tax rates."""

from decimal import Decimal

from billing.sandbox.api import call
from billing.sandbox.core import Sandbox, plain_number
from billing.sandbox.errors import missing, refused, required
from billing.sandbox.ids import token
from billing.sandbox.render import page
from billing.sandbox.resources.common import (
    assign,
    check_amount,
    check_currency,
    jsonable,
    merge_metadata,
    rows_filtered,
    simple_reads,
    whole_amount,
)
from billing.sandbox.state import Obj

simple_reads("product", "products", "Product", others="active")
simple_reads("coupon", "coupons", "Coupon")
simple_reads("promotion_code", "promotion_codes", "PromotionCode", indexed="code", others="active customer")
simple_reads("tax_rate", "tax_rates", "TaxRate", others="active inclusive")

_PRODUCT_FIELDS = "active description images marketing_features name package_dimensions shippable"
_PRODUCT_FIELDS += " statement_descriptor tax_code unit_label url"


@call("POST", "products", "ProductCreateParams")
def product_create(sandbox: Sandbox, params: Obj) -> Obj:
    if params.get("id") and sandbox.store.get("product", params["id"]):
        raise refused("Product already exists.", "resource_already_exists", "id")
    product = sandbox.new("product")
    product["id"] = params.get("id", product["id"])
    product["updated"] = product["created"]
    assign(product, params, _PRODUCT_FIELDS)
    merge_metadata(product, params)
    sandbox.save(product)
    if "default_price_data" in params:
        price = _price_make(sandbox, params["default_price_data"] | {"product": product["id"]})
        product["default_price"] = price["id"]
        sandbox.save(product)
    sandbox.emit("product.created", product)
    return product


@call("POST", "products/{id}", "ProductUpdateParams")
def product_update(sandbox: Sandbox, params: Obj, ident: str) -> Obj:
    product = sandbox.find("product", ident)
    previous = assign(product, params, _PRODUCT_FIELDS + " default_price")
    merge_metadata(product, params)
    product["updated"] = sandbox.clock.now()
    sandbox.save(product)
    sandbox.emit("product.updated", product, previous)
    return product


@call("DELETE", "products/{id}", "ProductDeleteParams")
def product_delete(sandbox: Sandbox, params: Obj, ident: str) -> Obj:
    product = sandbox.find("product", ident)
    if sandbox.store.by("price", "product", ident):
        raise refused("This product cannot be deleted because it has one or more user-created prices.")
    sandbox.store.remove("product", ident)
    sandbox.emit("product.deleted", product)
    return {"id": ident, "object": "product", "deleted": True}


@call("POST", "prices", "PriceCreateParams")
def price_create(sandbox: Sandbox, params: Obj) -> Obj:
    if "product_data" in params:
        product = sandbox.new("product", name=params["product_data"]["name"])
        product["updated"] = product["created"]
        merge_metadata(product, params["product_data"])
        sandbox.save(product)
        params = params | {"product": product["id"]}
    return _price_make(sandbox, params)


def _price_make(sandbox: Sandbox, params: Obj) -> Obj:
    """A stored price, from the parameters of `prices.create` or a `price_data` of some other call."""
    if "product" not in params:
        raise required("product")
    sandbox.find("product", params["product"], "product")
    price = sandbox.new("price", currency=check_currency(params["currency"]))
    _set_unit_amount(price, params)
    if recurring := params.get("recurring"):
        count = recurring.get("interval_count", 1)
        months = {"month": 1, "year": 12}.get(recurring["interval"], 0) * count
        if count < 1 or months > 36:
            raise refused("The interval must be between one unit and three years", param="recurring[interval_count]")
        price["type"] = "recurring"
        price["recurring"] = {"interval": recurring["interval"], "interval_count": count, "meter": None}
        price["recurring"] |= {"trial_period_days": None, "usage_type": recurring.get("usage_type", "licensed")}
        if price["recurring"]["usage_type"] == "metered":
            raise refused("Metered prices need billing meters, which the sandbox does not have.", param="recurring")
    assign(price, params, "active nickname product tax_behavior lookup_key")
    merge_metadata(price, params)
    _move_lookup_key(sandbox, price, params)
    sandbox.save(price)
    sandbox.emit("price.created", price)
    return price


def _set_unit_amount(price: Obj, params: Obj) -> None:
    if params.get("billing_scheme") == "tiered" or "tiers" in params:
        raise refused("The sandbox has per-unit prices only: rating in tiers is the caller's own.", param="tiers")
    if "unit_amount" in params:
        price["unit_amount"] = check_amount(params["unit_amount"], "unit_amount", least=0)
        price["unit_amount_decimal"] = str(params["unit_amount"])
    elif "unit_amount_decimal" in params:
        exact: Decimal = params["unit_amount_decimal"]
        price["unit_amount_decimal"] = jsonable(exact)
        price["unit_amount"] = int(exact) if exact == int(exact) else None
    else:
        raise required("unit_amount")


def _move_lookup_key(sandbox: Sandbox, price: Obj, params: Obj) -> None:
    key = params.get("lookup_key")
    if not key:
        return
    for other in sandbox.store.by("price", "lookup_key", key):
        if other["id"] == price["id"]:
            continue
        if not params.get("transfer_lookup_key"):
            raise refused(f"A price (`{other['id']}`) already uses that lookup key.", "resource_already_exists")
        other["lookup_key"] = None
        sandbox.save(other)


def price_from_data(sandbox: Sandbox, data: Obj) -> Obj:
    """An inactive, one-off price for a `price_data` parameter, with its product made where only a name is given."""
    if "product_data" in data:
        product = sandbox.new("product", name=data["product_data"]["name"])
        product["updated"] = product["created"]
        assign(product, data["product_data"], "description tax_code unit_label")
        merge_metadata(product, data["product_data"])
        sandbox.save(product)
        data = data | {"product": product["id"]}
    return _price_make(sandbox, data | {"active": False})


def price_amount(price: Obj, quantity: int | Decimal) -> int:
    """Minor units for a quantity of this price, rounded half up once."""
    return whole_amount(Decimal(price["unit_amount_decimal"]) * quantity)


@call("GET", "prices", "PriceListParams")
def price_list(sandbox: Sandbox, params: Obj) -> Obj:
    rows = rows_filtered(sandbox, "price", params, "product", "active type currency")
    if keys := params.get("lookup_keys"):
        rows = (price for price in rows if price["lookup_key"] in keys)
    if recurring := params.get("recurring"):
        rows = (p for p in rows if p["recurring"] and all(p["recurring"].get(k) == v for k, v in recurring.items()))
    return page(sandbox.store, "price", rows, params, "/v1/prices")


@call("GET", "prices/{id}", "PriceRetrieveParams")
def price_retrieve(sandbox: Sandbox, params: Obj, ident: str) -> Obj:
    return sandbox.find("price", ident)


@call("POST", "prices/{id}", "PriceUpdateParams")
def price_update(sandbox: Sandbox, params: Obj, ident: str) -> Obj:
    price = sandbox.find("price", ident)
    _move_lookup_key(sandbox, price, params)
    previous = assign(price, params, "active nickname lookup_key tax_behavior")
    merge_metadata(price, params)
    sandbox.save(price)
    sandbox.emit("price.updated", price, previous)
    return price


@call("POST", "coupons", "CouponCreateParams")
def coupon_create(sandbox: Sandbox, params: Obj) -> Obj:
    ident = params.get("id") or token(8)
    if sandbox.store.get("coupon", ident):
        raise refused("Coupon already exists.", "resource_already_exists", "id")
    if ("percent_off" in params) == ("amount_off" in params):
        raise required("percent_off")
    coupon = sandbox.new("coupon", id=ident)
    if "percent_off" in params:
        if not 0 < params["percent_off"] <= 100:
            raise refused("Invalid percent_off: must be above 0 and at most 100", param="percent_off")
        coupon["percent_off"] = plain_number(params["percent_off"])
    else:
        if "currency" not in params:
            raise required("currency")
        coupon["amount_off"] = check_amount(params["amount_off"], "amount_off")
        coupon["currency"] = check_currency(params["currency"])
    coupon["duration"] = params.get("duration", "once")
    if coupon["duration"] == "repeating" and "duration_in_months" not in params:
        raise required("duration_in_months")
    assign(coupon, params, "duration_in_months max_redemptions name redeem_by")
    merge_metadata(coupon, params)
    sandbox.save(coupon)
    sandbox.emit("coupon.created", coupon)
    return coupon


@call("POST", "coupons/{id}", "CouponUpdateParams")
def coupon_update(sandbox: Sandbox, params: Obj, ident: str) -> Obj:
    coupon = sandbox.find("coupon", ident)
    previous = assign(coupon, params, "name")
    merge_metadata(coupon, params)
    sandbox.save(coupon)
    sandbox.emit("coupon.updated", coupon, previous)
    return coupon


@call("DELETE", "coupons/{id}", "CouponDeleteParams")
def coupon_delete(sandbox: Sandbox, params: Obj, ident: str) -> Obj:
    coupon = sandbox.find("coupon", ident)
    # Discounts that already run keep pointing at it, so it is hidden and not forgotten.
    coupon |= {"_deleted": True, "valid": False}
    sandbox.save(coupon)
    sandbox.emit("coupon.deleted", coupon)
    return {"id": ident, "object": "coupon", "deleted": True}


@call("POST", "promotion_codes", "PromotionCodeCreateParams")
def promotion_code_create(sandbox: Sandbox, params: Obj) -> Obj:
    coupon = sandbox.find("coupon", params["promotion"].get("coupon", ""), "promotion[coupon]")
    code = params.get("code") or token(8).upper()
    if any(other["active"] for other in sandbox.store.by("promotion_code", "code", code)):
        raise refused("An active promotion code with this code already exists.", "resource_already_exists", "code")
    promotion = sandbox.new("promotion_code", code=code)
    promotion["promotion"]["coupon"] = coupon["id"]
    assign(promotion, params, "active customer expires_at max_redemptions")
    promotion["restrictions"] |= jsonable(params.get("restrictions", {}))
    merge_metadata(promotion, params)
    sandbox.save(promotion)
    sandbox.emit("promotion_code.created", promotion)
    return promotion


@call("POST", "promotion_codes/{id}", "PromotionCodeUpdateParams")
def promotion_code_update(sandbox: Sandbox, params: Obj, ident: str) -> Obj:
    promotion = sandbox.find("promotion_code", ident)
    previous = assign(promotion, params, "active")
    merge_metadata(promotion, params)
    sandbox.save(promotion)
    sandbox.emit("promotion_code.updated", promotion, previous)
    return promotion


@call("POST", "tax_rates", "TaxRateCreateParams")
def tax_rate_create(sandbox: Sandbox, params: Obj) -> Obj:
    if not 0 <= params["percentage"] <= 100:
        raise refused("Invalid percentage: must be between 0 and 100", param="percentage")
    if params["inclusive"]:
        raise refused("The sandbox has exclusive tax rates only.", param="inclusive")
    rate = sandbox.new("tax_rate", rate_type="percentage", percentage=plain_number(params["percentage"]))
    rate["effective_percentage"] = rate["percentage"]
    assign(rate, params, "active country description display_name inclusive jurisdiction state tax_type")
    merge_metadata(rate, params)
    return sandbox.save(rate)


@call("POST", "tax_rates/{id}", "TaxRateUpdateParams")
def tax_rate_update(sandbox: Sandbox, params: Obj, ident: str) -> Obj:
    rate = sandbox.find("tax_rate", ident)
    assign(rate, params, "active country description display_name jurisdiction state tax_type")
    merge_metadata(rate, params)
    return sandbox.save(rate)


def coupon_for(sandbox: Sandbox, given: Obj, customer: Obj | None, param: str = "discounts") -> tuple[Obj, Obj | None]:
    """The coupon (and promotion code) that a `discounts[]` entry names; refuses used-up and expired ones."""
    promotion = None
    if given.get("promotion_code"):
        promotion = sandbox.find("promotion_code", given["promotion_code"], f"{param}[promotion_code]")
        _refuse_spent(sandbox, promotion, customer)
        coupon = sandbox.store.get("coupon", promotion["promotion"]["coupon"])
    else:
        coupon = sandbox.store.get("coupon", given.get("coupon", ""))
    if coupon is None or coupon.get("_deleted"):
        raise missing("coupon", given.get("coupon", ""), f"{param}[coupon]")
    now = sandbox.now_of(customer) if customer else sandbox.clock.now()
    if coupon["redeem_by"] and coupon["redeem_by"] < now:
        raise refused(f"Coupon expired: {coupon['id']}", "coupon_expired", param)
    if coupon["max_redemptions"] and coupon["times_redeemed"] >= coupon["max_redemptions"]:
        raise refused(f"Coupon {coupon['id']} is used up and cannot be applied.", "coupon_expired", param)
    return coupon, promotion


def _refuse_spent(sandbox: Sandbox, promotion: Obj, customer: Obj | None) -> None:
    now = sandbox.now_of(customer) if customer else sandbox.clock.now()
    spent = promotion["max_redemptions"] and promotion["times_redeemed"] >= promotion["max_redemptions"]
    expired = promotion["expires_at"] and promotion["expires_at"] < now
    stranger = promotion["customer"] and customer and promotion["customer"] != customer["id"]
    if not promotion["active"] or spent or expired or stranger:
        raise refused("This promotion code cannot be redeemed.", "promotion_code_expired", "promotion_code")
