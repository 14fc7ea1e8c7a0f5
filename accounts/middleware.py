"""Portal pages run in the scope of the person's tenant."""

from collections.abc import Callable

from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from accounts.api.authentication import caller_of_session
from millrace.kernel.errors import Problem, Unauthenticated
from millrace.kernel.tenancy import no_scope, tenant_scope

# A partner's link asks nothing of who follows it, and takes one round trip to the database.
_WITHOUT_TENANT = ("/v1/", "/r/", "/webhooks/", "/static/", "/healthz", "/readyz", "/metrics")


class TenantMiddleware:
    """Sets `request.caller` (None for strangers) and enters its tenant's scope for pages.

    The API's own doors authenticate themselves. A page answers from a template within the view, so the scope need
    not outlive it.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """One request, in a fresh scope."""
        with no_scope():
            request.caller = None  # type: ignore[attr-defined]
            if request.path.startswith(_WITHOUT_TENANT) or not request.user.is_authenticated:
                return self.get_response(request)
            caller = caller_of_session(request)
            request.caller = caller  # type: ignore[attr-defined]
            if not caller.has_tenant:
                return self.get_response(request)
            with tenant_scope(caller.tenant_id):
                return self.get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        """A page's coded failure: the log-in page for strangers, else a page that says what to do."""
        if not isinstance(error, Problem) or request.path.startswith(_WITHOUT_TENANT):
            return None
        if isinstance(error, Unauthenticated) and request.method in {"GET", "HEAD"}:
            return redirect_to_login(request.get_full_path())
        return render(request, "portal/problem.html", {"problem": error}, status=error.status)
