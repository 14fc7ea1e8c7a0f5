"""The sign-up page's form: allauth's with our fields, whole or not at all."""

from typing import Any

from allauth.account.forms import SignupForm
from django.db import IntegrityError, transaction
from django.http import HttpRequest


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
