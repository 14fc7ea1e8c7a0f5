"""What a partner sees: what it earned and why, its links and codes, the customers that it brought."""

from datetime import timedelta
from typing import Any

from django import forms
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from accounts.portal.guard import page
from channels_partners import selectors
from channels_partners.attribution import CLICK_WINDOW
from channels_partners.models import Partner, PartnerStatus
from channels_partners.reports.params import Params
from channels_partners.reports.partners import partner_report
from channels_partners.reports.queries import paying_tenants
from channels_partners.reports.series import earnings_series
from channels_partners.services.links import code_create, code_disable, link_create, link_disable
from millrace.kernel import clock, ids
from millrace.kernel.errors import Problem
from millrace.kernel.money import Money
from millrace.kernel.tenancy import platform_scope
from millrace.portal.charts import Chart, Series, lines
from millrace.portal.views import attempt, blame, cursor_page

_STAGES = (("clicks", "Clicks"), ("signups", "Sign-ups"), ("verified", "Verified"), ("trial", "Tried it"),
           ("first_job", "First job"), ("paying", "Paying"))  # fmt: skip
_CHART_DAYS = 84


class LinkForm(forms.Form):
    """A link's name and where it leads."""

    name = forms.CharField(max_length=120, required=False, help_text="For yourself, such as “spring fair”.")
    code = forms.CharField(
        max_length=40, required=False, help_text="3 to 40 letters, digits, - or _. Empty: made up for you."
    )
    destination = forms.CharField(
        max_length=300, required=False, help_text="A page of this site. Empty: the sign-up page."
    )


class CodeForm(forms.Form):
    """A code that customers type at sign-up."""

    code = forms.CharField(max_length=40, help_text="3 to 40 letters, digits, - or _.")


@require_safe
@page("partner.read")
def home(request: HttpRequest) -> HttpResponse:
    """Balance, funnel and earnings."""
    partner = _partner(request)
    now = clock.now()
    month = Params(now.replace(day=1, hour=0, minute=0, second=0, microsecond=0), now, "partner")
    report = partner_report(partner, month)
    balances = selectors.partner_balances(partner)
    most = max([report[name] for name, _ in _STAGES] + [1])
    values = {
        "partner": partner,
        "balances": balances,
        "funnel": [{"label": label, "count": report[name], "most": most} for name, label in _STAGES],
        "conversion": report["trial_conversion"],
        "earnings": report["earnings"],
        "month": month,
        "charts": [_earnings_chart(partner, one.currency) for one in balances],
    }  # fmt: skip
    return render(request, "channels_partners/partner.html", values)


@page("partner.read", post="partner.write")
def links(request: HttpRequest) -> HttpResponse:
    """Links and codes, and the forms that make them."""
    partner = _partner(request)
    sent = request.POST.get("make", "") if request.method == "POST" else ""
    forms_ = {
        "link": LinkForm(request.POST if sent == "link" else None, prefix="link"),
        "code": CodeForm(request.POST if sent == "code" else None, prefix="code"),
    }
    form = forms_.get(sent)
    if form is not None and form.is_valid():
        make = link_create if sent == "link" else code_create
        try:
            actor = request.caller.actor  # type: ignore[attr-defined]
            make(partner=partner, channel=partner.channel, actor=actor, **form.cleaned_data)
            return redirect("partner_links")
        except Problem as problem:
            blame(form, problem)
    values = {
        "links": selectors.partner_links(partner).order_by("-id")[:200],
        "codes": selectors.partner_codes(partner).order_by("-id")[:200],
        "link_form": forms_["link"],
        "code_form": forms_["code"],
        "base": settings.PUBLIC_BASE_URL,
        "window_days": CLICK_WINDOW.days,
        "may_change": "partner.write" in request.caller.permissions  # type: ignore[attr-defined]
        and partner.status == PartnerStatus.ACTIVE,
    }
    return render(request, "channels_partners/links.html", values)


@require_POST
@page("partner.write")
def disable_link(request: HttpRequest, link_id: str) -> HttpResponse:
    """It leads nowhere from now on."""
    link = selectors.partner_link(_partner(request), ids.parse("lnk", link_id))
    actor = request.caller.actor  # type: ignore[attr-defined]
    attempt(request, lambda: link_disable(link=link, actor=actor), done=f"/r/{link.code} leads nowhere from now on.")
    return redirect("partner_links")


@require_POST
@page("partner.write")
def disable_code(request: HttpRequest, code_id: str) -> HttpResponse:
    """Nobody new comes by it."""
    code = selectors.partner_code(_partner(request), ids.parse("cpn", code_id))
    actor = request.caller.actor  # type: ignore[attr-defined]
    attempt(request, lambda: code_disable(code=code, actor=actor), done=f"{code.code} works no more.")
    return redirect("partner_links")


@require_safe
@page("partner.read")
def referrals(request: HttpRequest) -> HttpResponse:
    """The customers that the partner brought, and what each earned it."""
    partner = _partner(request)
    with platform_scope(reason="a partner's customers are other tenants"):
        found = cursor_page(selectors.partner_referrals(partner), request)
        paying = paying_tenants(clock.now(), [row.tenant_id for row in found["rows"]])
        earned = selectors.earned_by_referral(found["rows"])
        rows = [
            {
                "attribution": row,
                "name": selectors.visible_name(row),
                "is_paying": row.tenant_id in paying,
                "earned": [Money(amount, currency) for currency, amount in earned.get(row.pk, {}).items()],
            }
            for row in found["rows"]
        ]
    return render(request, "channels_partners/referrals.html", {"page": found, "rows": rows, "partner": partner})


@require_safe
@page("partner.read")
def earnings(request: HttpRequest) -> HttpResponse:
    """Every movement of commission; their sum is the balance."""
    partner = _partner(request)
    with platform_scope(reason="a partner's customers are other tenants"):
        found = cursor_page(selectors.partner_commissions(partner), request, size=50)
        rows = [{"entry": row, "name": selectors.visible_name(row.attribution)} for row in found["rows"]]
    values = {"page": found, "rows": rows, "balances": selectors.partner_balances(partner), "now": clock.now()}
    return render(request, "channels_partners/earnings.html", values)


def _partner(request: HttpRequest) -> Partner:
    return selectors.partner_of(request.caller.tenant_id, to_write=request.method == "POST")  # type: ignore[attr-defined]


def _earnings_chart(partner: Partner, currency: str) -> Chart:
    end = clock.now()
    points = earnings_series(partner, end - timedelta(days=_CHART_DAYS), end, currency=currency, days=7)

    def text(value: Any) -> str:
        return str(Money(int(value), currency)).removeprefix(f"{currency} ")

    return lines(
        f"Earned by week, {currency}",
        [f"{point['at'].day} {point['at']:%b}" for point in points],
        [Series("net", [point["net"] for point in points])],
        heading="Week from",
        text=text,
        description="Commission accrued less what was clawed back, by week.",
        unit=currency,
    )
