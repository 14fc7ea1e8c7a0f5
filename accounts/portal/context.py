"""What the frame of every page knows of the person: the organisations they may switch between."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from accounts.portal.views import DATABASE_MAILBOX
from accounts.selectors import memberships_of


def places(request: HttpRequest) -> dict:
    """`tenants`: the person's memberships, read only where a template asks for them; `keeps_mail`: whether mail is kept
    at /dev/mail/ instead of sent."""
    caller = getattr(request, "caller", None)
    own: Any = SimpleLazyObject(lambda: memberships_of(caller.user)) if caller else []
    return {"tenants": own, "keeps_mail": settings.EMAIL_BACKEND == DATABASE_MAILBOX}
