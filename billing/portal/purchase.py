"""To the payment service's own pages, and changes of plan."""

from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST

from accounts.portal.guard import page
from billing.models import PriceVersion
from billing.services.checkout import checkout_session_create, portal_session_create
from billing.services.subscriptions import subscription_cancel, subscription_change, subscription_preview
from millrace.kernel.ids import parse
from millrace.portal.views import attempt


@require_POST
@page("billing.write")
def subscribe(request: HttpRequest) -> HttpResponse:
    """Open Checkout for a plan and go there; the card is typed at the payment service, never here."""
    caller = request.caller  # type: ignore[attr-defined]
    back = request.build_absolute_uri(reverse("billing_plan"))
    session = checkout_session_create(
        tenant_id=caller.tenant_id, plan=request.POST.get("plan", ""), actor=caller.actor,
        success_url=f"{back}?checkout=done", cancel_url=f"{back}?checkout=canceled",
    )  # fmt: skip
    return redirect(session.url)


@require_POST
@page("billing.write")
def manage(request: HttpRequest) -> HttpResponse:
    """Go to the payment service's billing portal: cards, addresses, receipts."""
    caller = request.caller  # type: ignore[attr-defined]
    back = request.build_absolute_uri(reverse("billing_plan"))
    return redirect(portal_session_create(tenant_id=caller.tenant_id, actor=caller.actor, return_url=back))


@require_POST
@page("billing.write")
def change(request: HttpRequest) -> HttpResponse:
    """Show what a change of plan does; with `confirmed`, do it."""
    caller = request.caller  # type: ignore[attr-defined]
    price_id = _price(request)
    if "confirmed" not in request.POST:
        preview = subscription_preview(tenant_id=caller.tenant_id, price_id=price_id)
        return render(request, "billing/change.html", {"preview": preview})
    attempt(
        request,
        lambda: subscription_change(tenant_id=caller.tenant_id, price_id=price_id, actor=caller.actor),
        done="The plan is changed.",
    )
    return redirect("billing_plan")


@require_POST
@page("billing.write")
def cancel(request: HttpRequest) -> HttpResponse:
    """End the subscription with its period; with `keep`, take that back."""
    caller = request.caller  # type: ignore[attr-defined]
    ends = "keep" not in request.POST
    attempt(
        request,
        lambda: subscription_cancel(tenant_id=caller.tenant_id, actor=caller.actor, at_period_end=ends),
        done="The subscription ends with this period." if ends else "The subscription goes on.",
    )
    return redirect("billing_plan")


def _price(request: HttpRequest) -> UUID:
    return parse(PriceVersion.PREFIX, request.POST.get("price", ""))
