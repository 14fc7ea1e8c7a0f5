"""Every page leaves with a strict content security policy."""

from collections.abc import Callable
from urllib.parse import urlsplit

from django.conf import settings
from django.http import HttpRequest, HttpResponse

# Nothing from elsewhere, nothing inline. A form may lead on to the payment service: browsers apply form-action to the
# redirect that follows a POST too.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; font-src 'self'; "
    "connect-src 'self'; manifest-src 'self'; form-action 'self' {forms}; frame-ancestors 'none'; base-uri 'none'"
)
# The API's interactive documentation styles itself inline.
_DOCS_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "font-src 'self'; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'"
)


class ContentSecurityPolicy:
    """Adds the policy to every HTML answer that has none."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response
        self.policy = _POLICY.format(forms=" ".join([*settings.FORM_TARGETS, *_sandbox()]))

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """One answer."""
        response = self.get_response(request)
        is_debug_page = settings.DEBUG and response.status_code in {404, 500}  # Django's own, styled inline
        if response.get("Content-Type", "").startswith("text/html") and not is_debug_page:
            policy = _DOCS_POLICY if request.path.startswith("/docs") else self.policy
            response.setdefault("Content-Security-Policy", policy)
            response.setdefault("Referrer-Policy", "same-origin")
        return response


def _sandbox() -> list[str]:
    """Where the payment service is a local one, its pages live at its own address."""
    base = urlsplit(settings.STRIPE_API_BASE)
    return [f"{base.scheme}://{base.netloc}"] if base.hostname in {"127.0.0.1", "localhost"} else []
