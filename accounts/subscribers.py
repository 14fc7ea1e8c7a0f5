"""What this room listens to: allauth's signals."""

from typing import Any

from allauth.account.models import EmailAddress
from allauth.account.signals import email_confirmed, user_logged_in
from django.dispatch import receiver

from accounts.services.users import user_verify


@receiver(email_confirmed, dispatch_uid="accounts.email_confirmed")
def on_email_confirmed(email_address: Any, **_: object) -> None:
    """allauth confirmed an address: the user's tenants may count it from now on."""
    user_verify(user=email_address.user)


@receiver(user_logged_in, dispatch_uid="accounts.user_logged_in")
def on_user_logged_in(user: Any, **_: object) -> None:
    """allauth commits a confirmed address before it says so: what died in between is made up for at the next log-in."""
    proven = EmailAddress.objects.filter(user=user, email__iexact=user.email, verified=True)
    if user.verified_at is None and proven.exists():
        user_verify(user=user)
