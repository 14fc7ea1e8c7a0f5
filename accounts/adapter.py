"""allauth's adapters: addresses instead of user names, our idea of the client's address, sealed second factors."""

import base64
import hashlib
from functools import cache

from allauth.account.adapter import DefaultAccountAdapter
from allauth.mfa.adapter import DefaultMFAAdapter
from cryptography.fernet import Fernet
from django.conf import settings
from django.http import HttpRequest

from millrace.api.throttling import client_address


class AccountAdapter(DefaultAccountAdapter):
    """Where allauth asks the house."""

    def get_client_ip(self, request: HttpRequest) -> str:
        """The address that rate limits count; forwarded headers are believed from known proxies only (T9)."""
        return client_address(request)


class MFAAdapter(DefaultMFAAdapter):
    """Keeps TOTP secrets and recovery seeds encrypted: a copy of the database alone logs nobody in."""

    def encrypt(self, text: str) -> str:
        """Sealed with a key derived from the installation's."""
        return _seal(settings.SECRET_KEY).encrypt(text.encode()).decode()

    def decrypt(self, encrypted_text: str) -> str:
        """Opened again; InvalidToken when it was sealed by another installation."""
        return _seal(settings.SECRET_KEY).decrypt(encrypted_text.encode()).decode()


@cache
def _seal(secret_key: str) -> Fernet:
    digest = hashlib.blake2b(secret_key.encode(), digest_size=32, person=b"millrace-mfa").digest()
    return Fernet(base64.urlsafe_b64encode(digest))
