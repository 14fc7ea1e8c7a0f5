"""What signing up asks beyond an address and a password, on the page and over /_allauth/ alike.

Whoever comes with an invitation's token joins its tenant and founds none; the token was mailed, so having it proves
the address. Everybody else founds a tenant, with what is known of how they came.
"""

from typing import Any

from allauth.account.adapter import get_adapter
from allauth.account.models import EmailAddress
from allauth.core import context
from django import forms
from django.http import HttpRequest

from accounts.models import User
from accounts.selectors import invitation_by_token
from accounts.services.invitations import invitation_accept
from accounts.services.tenants import tenant_create
from accounts.services.users import user_rename, user_verify
from accounts.sign_on import came_of
from millrace.kernel import visitors
from millrace.kernel.audit import Actor


class SignUpFields(forms.Form):
    """The base of allauth's sign-up forms (ACCOUNT_SIGNUP_FORM_CLASS)."""

    name = forms.CharField(label="Your name", max_length=120)
    organisation = forms.CharField(label="Organisation", max_length=120, required=False)
    coupon = forms.CharField(label="Partner or coupon code", max_length=40, required=False)
    invitation = forms.CharField(max_length=80, required=False, widget=forms.HiddenInput)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # How the person came, where that was remembered before they went to log in elsewhere.
        self.came = came_of(getattr(self, "sociallogin", None))
        query = self.came or getattr(context.request, "GET", {})
        self.fields["coupon"].initial = query.get("coupon", "")[:40]
        # A form that was sent counts by what stands in it: its address may name an invitation that was taken out.
        token = (self.data if self.is_bound else query).get("invitation") or ""
        invited = invitation_by_token(token) if token else None
        if invited is None:
            self.fields["organisation"].required = True
            return
        self.fields["invitation"].initial = token
        if "email" in self.fields:
            self.initial["email"] = invited.email
        self.fields["organisation"].widget = forms.HiddenInput()
        self.fields["coupon"].widget = forms.HiddenInput()

    def clean(self) -> dict:
        """Refuses a dead invitation, and one that was mailed to another address."""
        cleaned = super().clean() or {}
        if token := cleaned.get("invitation"):
            invited = invitation_by_token(token)
            if invited is None:
                self.add_error(None, "This invitation was used or withdrawn, or has expired. Ask for a new one.")
            elif cleaned.get("email") and cleaned["email"].lower() != invited.email.lower():
                self.add_error("email", f"The invitation was sent to {invited.email}: sign up with that address.")
        return cleaned

    def signup(self, request: HttpRequest, user: User) -> None:
        """allauth's hook, after the user is saved and before the address is."""
        user_rename(user=user, name=self.cleaned_data["name"], actor=Actor.user(user))
        if token := self.cleaned_data.get("invitation"):
            get_adapter().stash_verified_email(request, user.email)
            invitation_accept(token=token, user=user, actor=Actor.user(user))
            user_verify(user=user)
            return
        visitor_id = visitors.visitor_id_of(request.COOKIES) or self.came.get("visitor_id", "")
        came_by = {"coupon": self.cleaned_data["coupon"], "visitor_id": str(visitor_id)}
        tenant_create(
            name=self.cleaned_data["organisation"], owner=user, actor=Actor.user(user), signup_context=came_by
        )
        if EmailAddress.objects.filter(user=user, email__iexact=user.email, verified=True).exists():
            user_verify(user=user)  # another provider vouched for the address: there is no mail to open
