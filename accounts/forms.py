"""The sign-up form: allauth's, with the organisation's name."""

from typing import Any

from allauth.account.forms import SignupForm
from django import forms
from django.http import HttpRequest

from accounts.models import User
from accounts.services.tenants import tenant_create
from millrace.kernel.audit import Actor

VISITOR_COOKIE = "mr_vid"


class SignUpForm(SignupForm):
    """E-mail, password, name and organisation; whoever was invited joins instead of founding a tenant."""

    name = forms.CharField(label="Your name", max_length=120)
    organisation = forms.CharField(label="Organisation", max_length=120)
    coupon = forms.CharField(label="Partner or coupon code", max_length=40, required=False)

    def save(self, request: HttpRequest) -> Any:
        """The new user, with a tenant of its own."""
        user = super().save(request)
        if isinstance(user, User):
            user.name = self.cleaned_data["name"]
            user.save(update_fields=["name"])
            context = {"coupon": self.cleaned_data["coupon"], "visitor_id": request.COOKIES.get(VISITOR_COOKIE, "")}
            tenant_create(
                name=self.cleaned_data["organisation"], owner=user, actor=Actor.user(user), signup_context=context
            )
        return user
