"""Founding an organisation without signing up anew: for a person who has left the last one, or saw it closed."""

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from accounts.api.authentication import TENANT_SESSION_KEY
from accounts.errors import HasTenant
from accounts.portal.guard import page
from accounts.services.tenants import tenant_found
from millrace.api.permissions import LOGGED_IN
from millrace.kernel import visitors


class FoundingForm(forms.Form):
    """What signing up asks of an organisation."""

    organisation = forms.CharField(label="Organisation", max_length=120)
    coupon = forms.CharField(label="Partner or coupon code", max_length=40, required=False)


@require_http_methods(["GET", "HEAD", "POST"])
@page(LOGGED_IN)
def found(request: HttpRequest) -> HttpResponse:
    """The form and its answer; whoever belongs to an organisation is led there."""
    caller = request.caller  # type: ignore[attr-defined]
    if caller.has_tenant:
        return redirect("home")
    form = FoundingForm(request.POST or None)
    if request.method != "POST" or not form.is_valid():
        return render(request, "accounts/nowhere.html", {"form": form})
    visitor_id = visitors.visitor_id_of(request.COOKIES)
    came_by = {"coupon": form.cleaned_data["coupon"], "visitor_id": str(visitor_id) if visitor_id else ""}
    try:
        tenant = tenant_found(
            user=caller.user, name=form.cleaned_data["organisation"], actor=caller.actor, signup_context=came_by
        )
    except HasTenant:
        return redirect("home")  # the same form was sent twice: there it is
    request.session[TENANT_SESSION_KEY] = str(tenant.pk)
    messages.success(request, f"{tenant.name} is founded, and you are its owner.")
    return redirect("home")
