"""What this room listens to: allauth's signals."""

from typing import Any

from allauth.account.signals import email_confirmed
from django.dispatch import receiver

from accounts.services.users import user_verify


@receiver(email_confirmed, dispatch_uid="accounts.email_confirmed")
def on_email_confirmed(email_address: Any, **_: object) -> None:
    """allauth confirmed an address: the user's tenants may count it from now on."""
    user_verify(user=email_address.user)
