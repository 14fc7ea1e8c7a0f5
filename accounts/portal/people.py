"""Members, invitations and the audit log."""

from django import forms
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from accounts import selectors
from accounts.portal.guard import page
from accounts.roles import Role
from accounts.services.invitations import invitation_create, invitation_revoke
from accounts.services.members import member_remove, member_set_role
from millrace.kernel import clock
from millrace.kernel.errors import Problem
from millrace.portal.views import attempt, blame, cursor_page

_WHAT = {
    Role.OWNER: "everything, and may make other owners",
    Role.ADMIN: "everything but owners",
    Role.DEVELOPER: "data, jobs, models, predictions",
    Role.BILLING: "plan, invoices, spend limit",
    Role.VIEWER: "reads",
}


class InvitationForm(forms.Form):
    """Whom to invite, and as what."""

    email = forms.EmailField(label="E-mail address")
    role = forms.ChoiceField(choices=[(role, f"{role}: {_WHAT[role]}") for role in Role], initial=Role.DEVELOPER)


@page("members.read", post="members.write")
def members(request: HttpRequest) -> HttpResponse:
    """Who belongs to the organisation, who is invited, and the form that invites."""
    caller = request.caller  # type: ignore[attr-defined]
    form = InvitationForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            invitation_create(
                tenant=caller.tenant, actor=caller.actor, by_owner=caller.role == Role.OWNER, **form.cleaned_data
            )
            return redirect("accounts_members")
        except Problem as problem:
            blame(form, problem)
    waiting = selectors.invitations(caller.tenant_id).filter(accepted_at=None, revoked_at=None)
    values = {
        "form": form,
        "members": selectors.members(caller.tenant_id).order_by("created_at", "id"),
        "invitations": waiting.filter(expires_at__gt=clock.now()).order_by("-id"),
        "roles": Role,
        "may_change": "members.write" in caller.permissions,
    }
    return render(request, "accounts/members.html", values)


@require_POST
@page("members.write")
def set_role(request: HttpRequest, member_id: str) -> HttpResponse:
    """Give a member another role."""
    caller = request.caller  # type: ignore[attr-defined]
    member = selectors.member_by_id(caller.tenant_id, member_id)
    attempt(
        request,
        lambda: member_set_role(
            tenant_id=caller.tenant_id, member_id=member.pk, role=request.POST.get("role", ""), actor=caller.actor,
            by_owner=caller.role == Role.OWNER,
        ),
        done=f"{member.user.email} has a new role.",
    )  # fmt: skip
    return redirect("accounts_members")


@require_POST
@page("members.write")
def remove(request: HttpRequest, member_id: str) -> HttpResponse:
    """End a membership."""
    caller = request.caller  # type: ignore[attr-defined]
    member = selectors.member_by_id(caller.tenant_id, member_id)
    attempt(
        request,
        lambda: member_remove(
            tenant_id=caller.tenant_id, member_id=member.pk, actor=caller.actor, by_owner=caller.role == Role.OWNER
        ),
        done=f"{member.user.email} is no member any more.",
    )
    return redirect("accounts_members")


@require_POST
@page("members.write")
def withdraw(request: HttpRequest, invitation_id: str) -> HttpResponse:
    """Make an invitation's link useless."""
    caller = request.caller  # type: ignore[attr-defined]
    found = selectors.invitation_by_id(caller.tenant_id, invitation_id)
    attempt(
        request,
        lambda: invitation_revoke(tenant_id=caller.tenant_id, invitation=found, actor=caller.actor),
        done=f"The invitation of {found.email} is withdrawn.",
    )
    return redirect("accounts_members")


@require_safe
@page("audit.read")
def audit_log(request: HttpRequest) -> HttpResponse:
    """Who did what, newest first."""
    rows = selectors.audit_log(request.caller.tenant_id)  # type: ignore[attr-defined]
    return render(request, "accounts/audit_log.html", {"page": cursor_page(rows, request)})
