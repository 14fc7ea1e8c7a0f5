"""The prices, for everybody."""

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from billing.errors import BillingMissing
from billing.models import PriceVersion
from billing.portal.words import PriceWords, feature_label, price_words, quantity_words
from billing.selectors import plans_for_sale, standing


@require_safe
def prices(request: HttpRequest) -> HttpResponse:
    """All public plans beside each other, in the caller's currency or the installation's."""
    plans = [_plan(price) for price in plans_for_sale(_currency(request))]
    meters: dict[str, str] = {}
    for plan in plans:
        meters |= {words.meter: words.label for words in plan["words"].values()}
        meters |= dict.fromkeys(plan["quotas"], "") if not meters else {}
    rows = [
        {"label": label, "cells": [plan["words"].get(meter) or plan["quotas"].get(meter, "") for plan in plans]}
        for meter, label in meters.items()
        if label
    ]
    features = list(dict.fromkeys(feature for plan in plans for feature in plan["price"].plan.features))
    values = {
        "plans": plans,
        "meters": rows,
        "features": [
            {"label": feature_label(feature), "cells": [feature in plan["price"].plan.features for plan in plans]}
            for feature in features
        ],
    }
    return render(request, "billing/pricing.html", values)


def _plan(price: PriceVersion) -> dict:
    words: dict[str, PriceWords] = {one.meter: one for one in price_words(price)}
    quotas = {meter: f"{quantity_words(meter, amount)} free" for meter, amount in price.plan.quotas.items()}
    return {"price": price, "words": words, "quotas": quotas}


def _currency(request: HttpRequest) -> str:
    caller = request.caller  # type: ignore[attr-defined]
    if caller is None or caller.tenant is None:
        return settings.BILLING_CURRENCY
    try:
        return standing(caller.tenant_id).currency
    except BillingMissing:
        return settings.BILLING_CURRENCY
