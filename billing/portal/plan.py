"""The plan, and the most that a period may cost."""

from decimal import Decimal, InvalidOperation

from django import forms
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from accounts.portal.guard import page
from billing.portal.account import with_standing
from billing.portal.words import feature_label, price_words, quantity_words
from billing.selectors import Standing, entitlements, has_subscribed, plans_for_sale, standing
from billing.services.accounts import spend_limit_set
from millrace.kernel.errors import Invalid
from millrace.kernel.money import Money, exponent, to_minor
from millrace.portal.views import attempt

_LARGEST_LIMIT = Decimal(10**12)


class LimitForm(forms.Form):
    """The most that usage may come to in a period; empty lifts the limit."""

    limit = forms.CharField(
        label="Spend limit a period", required=False, max_length=20,
        widget=forms.TextInput(attrs={"inputmode": "decimal", "autocomplete": "off"}),
        help_text="Empty means no limit. New jobs and predictions that would go beyond it are refused; "
        "running work is not stopped.",
    )  # fmt: skip


@require_safe
@page("billing.read")
@with_standing
def index(request: HttpRequest, stand: Standing) -> HttpResponse:
    """What the organisation is on, what else there is, and its spend limit."""
    tenant_id = request.caller.tenant_id  # type: ignore[attr-defined]
    limit = stand.billing.spend_limit
    shown = "" if limit is None else f"{Decimal(limit).scaleb(-exponent(stand.currency)):f}"
    own = stand.account.owner_tenant_id == tenant_id
    values = {
        "stand": stand,
        "now": entitlements(tenant_id),
        "features": [feature_label(name) for name in (stand.plan.features if stand.plan else [])],
        "quotas": [{"meter": meter, "quota": quantity_words(meter, amount)} for meter, amount in stand.quotas.items()],
        "words": price_words(stand.price) if stand.price else [],
        "form": LimitForm(initial={"limit": shown}),
        "is_own_payer": own,
        "may_try": not has_subscribed(tenant_id),
        "for_sale": [price for price in plans_for_sale(stand.currency) if price.is_paid] if own else [],
        "outcome": request.GET.get("checkout", ""),
    }
    return render(request, "billing/plan.html", values)


@require_POST
@page("billing.write")
def spend_limit(request: HttpRequest) -> HttpResponse:
    """Set or lift the limit."""
    caller = request.caller  # type: ignore[attr-defined]
    attempt(
        request,
        lambda: spend_limit_set(
            tenant_id=caller.tenant_id,
            limit=_limit(request.POST.get("limit", ""), standing(caller.tenant_id).currency),
            actor=caller.actor,
        ),
        done="The spend limit is set.",
    )
    return redirect("billing_plan")


def _limit(text: str, currency: str) -> Money | None:
    """The typed amount in major units; Invalid for what is no amount."""
    typed = text.strip().replace(",", "")
    if not typed:
        return None
    try:
        major = Decimal(typed)
    except InvalidOperation as error:
        raise Invalid("A limit is an amount such as 500 or 500.00.", field="limit") from error
    if not major.is_finite() or not 0 <= major <= _LARGEST_LIMIT:
        raise Invalid("A limit is not negative, and below a trillion.", field="limit")
    return Money(to_minor(major, currency), currency)
