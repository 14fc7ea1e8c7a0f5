"""The sign-up pages' forms: allauth's with our fields, whole or not at all."""

from typing import Any

from allauth.account.adapter import get_adapter
from allauth.account.forms import SignupForm
from allauth.socialaccount.forms import SignupForm as SocialSignupForm
from allauth.socialaccount.internal.flows.login import complete_login
from django.db import IntegrityError, transaction
from django.http import HttpRequest

from accounts.sign_on import proven_address


class SignUpForm(SignupForm):
    """E-mail, password and the fields of `accounts.signup.SignUpFields`."""

    field_order = ["name", "organisation", "email", "password1", "coupon", "invitation"]

    def save(self, request: HttpRequest) -> Any:
        """User, address and tenant in one transaction."""
        with transaction.atomic():
            return super().save(request)

    def try_save(self, request: HttpRequest) -> Any:
        """The user, or the same answer that an address in use gets: two sign-ups at one moment make one account (C5),
        and neither learns of the other."""
        try:
            return super().try_save(request)
        except IntegrityError:
            if not self.validate_unique_email_again():
                raise
            return super().try_save(request)

    def validate_unique_email_again(self) -> bool:
        """Whether the address has been taken since the form was checked."""
        self.validate_unique_email(self.cleaned_data["email"])
        return bool(self.account_already_exists)


class SingleSignUpForm(SocialSignupForm):
    """The same for somebody whom another provider has just logged in: no password."""

    field_order = ["name", "organisation", "email", "coupon", "invitation"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        sociallogin = kwargs["sociallogin"]
        super().__init__(*args, **kwargs)
        if proven_address(sociallogin) and not self.fields["invitation"].initial:
            self.fields["email"].disabled = True  # another address would have to be proven first

    def save(self, request: HttpRequest) -> Any:
        """User, address and tenant in one transaction. An invitation's address is proven by its token."""
        if self.cleaned_data.get("invitation"):
            get_adapter().stash_verified_email(request, self.cleaned_data["email"])
        with transaction.atomic():
            return super().save(request)

    def try_save(self, request: HttpRequest) -> Any:
        """The user; when the same form was sent twice at one moment, the second is logged in to the first's account."""
        try:
            return super().try_save(request)
        except IntegrityError:
            self.sociallogin.user.pk = None  # ours was not made; whose account it is, is looked up anew
            return None, complete_login(request, self.sociallogin)
