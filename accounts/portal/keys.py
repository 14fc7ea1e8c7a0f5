"""API keys: made, shown once, revoked."""

from django import forms
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST

from accounts import selectors
from accounts.portal.guard import page
from accounts.roles import SCOPES
from accounts.services.api_keys import api_key_create, api_key_revoke
from millrace.kernel.errors import Problem
from millrace.portal.views import attempt, blame

_WHAT = {
    "read": "read everything",
    "data": "upload data sets",
    "jobs": "submit and stop jobs",
    "models": "promote and download models",
    "predict": "call models and send feedback",
    "usage": "send usage of your own meters",
    "billing": "subscriptions, invoices, spend limit",
    "admin": "everything a member can do",
    "partner": "links, referrals, commissions",
    "reseller": "the reseller's customers",
}


class KeyForm(forms.Form):
    """A key's name and what it opens."""

    name = forms.CharField(max_length=80, help_text="Where it is used, such as “inspection line 3”.")
    scopes = forms.MultipleChoiceField(label="What it may do", widget=forms.CheckboxSelectMultiple)

    def __init__(self, *args: object, tenant_kind: str, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        hidden = set() if tenant_kind == "partner" else {"partner", "reseller"}
        self.fields["scopes"].choices = [  # type: ignore[attr-defined]
            (scope, f"{scope}: {_WHAT[scope]}") for scope in SCOPES if scope not in hidden
        ]


@page("keys.read", post="keys.write")
def index(request: HttpRequest) -> HttpResponse:
    """All keys; the answer to the form shows the new one's secret, once."""
    caller = request.caller  # type: ignore[attr-defined]
    form = KeyForm(request.POST or None, tenant_kind=caller.tenant.kind)
    secret = ""
    if request.method == "POST" and form.is_valid():
        try:
            _, secret = api_key_create(tenant=caller.tenant, actor=caller.actor, **form.cleaned_data)
            form = KeyForm(tenant_kind=caller.tenant.kind)
        except Problem as problem:
            blame(form, problem)
    keys = selectors.api_keys(caller.tenant_id).order_by("revoked_at", "-id")
    response = render(request, "accounts/keys.html", {"form": form, "keys": keys, "secret": secret})
    if secret:
        response["Cache-Control"] = "no-store"
    return response


@require_POST
@page("keys.write")
def revoke(request: HttpRequest, key_id: str) -> HttpResponse:
    """The key is useless from now on."""
    caller = request.caller  # type: ignore[attr-defined]
    key = selectors.api_key_by_id(caller.tenant_id, key_id)
    attempt(request, lambda: api_key_revoke(key=key, actor=caller.actor), done=f"The key {key.name} is revoked.")
    return redirect("accounts_keys")
