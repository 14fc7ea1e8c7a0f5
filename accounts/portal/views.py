"""This room's pages: the front page and the overview, an invitation's link, the choice of tenant, the mailbox of
development."""

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts import selectors
from accounts.api.authentication import TENANT_SESSION_KEY
from accounts.models import Mail, Tenant
from accounts.services.invitations import invitation_accept
from millrace.api.permissions import LOGGED_IN, require
from millrace.kernel import ids
from millrace.portal import panels

DATABASE_MAILBOX = "accounts.mailbox.DatabaseEmailBackend"
_NEWEST = 200


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """What Millrace is, for strangers; where the caller's organisation stands, for members."""
    caller = request.caller  # type: ignore[attr-defined]
    if caller is None:
        return render(request, "accounts/front.html")
    if caller.tenant is None:
        return redirect("/ops/" if caller.is_staff else "tenant_new")
    return render(request, "accounts/overview.html", {"panels": panels.rendered(request)})


@require_http_methods(["GET", "HEAD", "POST"])
def invitation(request: HttpRequest, token: str) -> HttpResponse:
    """What the mailed link opens: sign up, log in, or, when logged in, join with a button (a link alone joins nobody)."""
    caller = request.caller  # type: ignore[attr-defined]
    if request.method == "POST":
        caller = require(caller, LOGGED_IN)
        member = invitation_accept(token=token, user=caller.user, actor=caller.actor)
        request.session[TENANT_SESSION_KEY] = str(member.tenant_id)
        return redirect(settings.LOGIN_REDIRECT_URL)
    found = selectors.invitation_by_token(token)
    values = {"invitation": found, "token": token, "caller": caller}
    return render(request, "accounts/invitation.html", values, status=200 if found else 404)


@require_POST
def tenant_switch(request: HttpRequest) -> HttpResponse:
    """Act for another of one's tenants: form fields `tenant` (a public id) and `next` (an own address)."""
    caller = require(request.caller, LOGGED_IN)  # type: ignore[attr-defined]
    place = selectors.membership_in(caller.user, ids.parse(Tenant.PREFIX, request.POST.get("tenant", "")))
    request.session[TENANT_SESSION_KEY] = str(place.tenant_id)
    following = request.POST.get("next", "")
    own = url_has_allowed_host_and_scheme(following, {request.get_host()}, require_https=request.is_secure())
    return redirect(following if own else settings.LOGIN_REDIRECT_URL)


@require_safe
def mailbox(request: HttpRequest) -> HttpResponse:
    """Mail that was kept instead of sent, newest first; `?to=` narrows it. Only where mail is kept at all."""
    if settings.EMAIL_BACKEND != DATABASE_MAILBOX:
        raise Http404
    mails = Mail.objects.order_by("-id")
    if address := request.GET.get("to", "").replace("\0", ""):
        mails = mails.filter(to__iexact=address)
    return render(request, "accounts/mailbox.html", {"mails": mails[:_NEWEST], "to": address})
