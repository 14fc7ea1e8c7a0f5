"""allauth's adapter: addresses instead of user names."""

from allauth.account.adapter import DefaultAccountAdapter
from django.http import HttpRequest

from millrace.api.throttling import client_address


class AccountAdapter(DefaultAccountAdapter):
    """Where allauth asks the house."""

    def get_client_ip(self, request: HttpRequest) -> str:
        """The address that rate limits count; forwarded headers are believed from known proxies only (T9)."""
        return client_address(request)
