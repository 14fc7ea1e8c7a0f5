"""Pages that need a billing account, and what stands in their place where there is none."""

from collections.abc import Callable
from functools import wraps

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from billing.errors import BillingMissing
from billing.selectors import Standing, standing


def with_standing(view: Callable[[HttpRequest, Standing], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Decorator of a page's view, within `page`: hands it where the caller's organisation stands. One without a
    billing account, such as a partner's own, meets a page that says so."""

    @wraps(view)
    def shown(request: HttpRequest) -> HttpResponse:
        try:
            stand = standing(request.caller.tenant_id)  # type: ignore[attr-defined]
        except BillingMissing:
            return render(request, "billing/no_account.html")
        return view(request, stand)

    return shown
