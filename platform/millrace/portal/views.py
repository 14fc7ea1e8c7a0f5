"""What every page's view shares: a form's answer to a coded failure, and pages of rows."""

from collections.abc import Callable, Sequence
from typing import Any

from django.contrib import messages
from django.forms import Form
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_POST

from millrace.kernel.errors import Problem
from millrace.kernel.ids import parse
from millrace.portal.context import THEMES

_YEAR_SECONDS = 365 * 24 * 3600


def blame(form: Form, problem: Problem, fields: dict[str, str] | None = None) -> None:
    """Put a service's refusal where the reader looks for it: at the form's field of the same name, or above the form.
    `fields` maps the service's field names to the form's."""
    name = (fields or {}).get(problem.field or "", problem.field)
    form.add_error(name if name in form.fields else None, problem.detail)


def attempt(request: HttpRequest, act: Callable[[], Any], *, done: str) -> Any:
    """Carry out a button's act: a quiet notice when it is done, the refusal's sentence when it is not."""
    try:
        result = act()
    except Problem as problem:
        if problem.status == 404:
            raise
        messages.error(request, problem.detail)
        return None
    messages.success(request, done)
    return result


def cursor_page(rows: Any, request: HttpRequest, *, size: int = 25) -> dict:
    """One page of a queryset ordered newest first by id: `{"rows", "next"}`; `next` is the address of older ones."""
    after = request.GET.get("before", "")
    model = rows.model
    ordered = rows.order_by("-id")
    if after:
        ordered = ordered.filter(pk__lt=parse(model.PREFIX, after))
    found: Sequence[Any] = list(ordered[: size + 1])
    following = ""
    if len(found) > size:
        query = request.GET.copy()
        query["before"] = found[size - 1].public_id
        following = f"?{query.urlencode()}"
    return {"rows": found[:size], "next": following, "is_first": not after}


@require_POST
def theme(request: HttpRequest) -> HttpResponse:
    """Remember light, dark or the system's own, and go back to where the reader was."""
    chosen = request.POST.get("theme", "")
    back = request.headers.get("Referer", "/")
    if not url_has_allowed_host_and_scheme(back, allowed_hosts={request.get_host()}):
        back = "/"
    response = redirect(back)
    if chosen in THEMES:
        response.set_cookie("theme", chosen, max_age=_YEAR_SECONDS, samesite="Lax", secure=request.is_secure())
    else:
        response.delete_cookie("theme")
    return response
