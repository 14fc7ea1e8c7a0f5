"""What signing up makes, whole or not at all: on the pages and for programs at /_allauth/ alike."""

from typing import Any

from allauth.account.adapter import get_adapter
from allauth.account.forms import SignupForm
from allauth.headless.account.inputs import SignupInput
from allauth.headless.socialaccount.inputs import SignupInput as ProviderSignupInput
from allauth.socialaccount.forms import SignupForm as SocialSignupForm
from allauth.socialaccount.internal.flows.login import complete_login
from django.db import IntegrityError, transaction
from django.http import HttpRequest

from accounts.sign_on import proven_address


class _SignUp:
    """Over one of allauth's forms with an address and a password."""

    def save(self, request: HttpRequest) -> Any:
        """User, address and tenant in one transaction."""
        with transaction.atomic():
            return super().save(request)  # type: ignore[misc]

    def try_save(self: Any, request: HttpRequest) -> Any:
        """The user, or the same answer that an address in use gets: two sign-ups at one moment make one account (C5),
        and neither learns of the other."""
        try:
            return super().try_save(request)  # type: ignore[misc]
        except IntegrityError:
            self.validate_unique_email(self.cleaned_data["email"])
            if not self.account_already_exists:
                raise
            return super().try_save(request)  # type: ignore[misc]


class _SingleSignUp:
    """The same over one for somebody whom another provider has just logged in: no password."""

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        sociallogin = kwargs["sociallogin"]
        super().__init__(*args, **kwargs)
        if proven_address(sociallogin) and not self.fields["invitation"].initial:
            self.fields["email"].disabled = True  # another address would have to be proven first

    def save(self: Any, request: HttpRequest) -> Any:
        """User, address and tenant in one transaction. An invitation's address is proven by its token."""
        if self.cleaned_data.get("invitation"):
            get_adapter().stash_verified_email(request, self.cleaned_data["email"])
        with transaction.atomic():
            return super().save(request)  # type: ignore[misc]

    def try_save(self: Any, request: HttpRequest) -> Any:
        """The user; when the same form was sent twice at one moment, the second is logged in to the first's account."""
        try:
            return super().try_save(request)  # type: ignore[misc]
        except IntegrityError:
            self.sociallogin.user.pk = None  # ours was not made; whose account it is, is looked up anew
            return None, complete_login(request, self.sociallogin)


class SignUpForm(_SignUp, SignupForm):
    """The sign-up page: e-mail, password and the fields of `accounts.signup.SignUpFields`."""

    field_order = ["name", "organisation", "email", "password1", "coupon", "invitation"]


class SingleSignUpForm(_SingleSignUp, SocialSignupForm):
    """The page after another provider's."""

    field_order = ["name", "organisation", "email", "coupon", "invitation"]


class SignUpInput(_SignUp, SignupInput):
    """The same as a program sends it."""


class SingleSignUpInput(_SingleSignUp, ProviderSignupInput):
    """The same as a program sends it after another provider's log-in."""
