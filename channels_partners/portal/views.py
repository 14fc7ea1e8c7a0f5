"""The link that brings strangers, and the question that members are asked."""

import re

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from accounts.portal.guard import page
from channels_partners.models import SurveyKind
from channels_partners.services.clicks import click_look_up, click_record
from channels_partners.services.links import is_safe_destination
from channels_partners.services.surveys import survey_answer
from millrace.api.throttling import client_address, is_flooding
from millrace.kernel import clock, visitors
from millrace.kernel.errors import Invalid
from millrace.kernel.ids import uuid7
from millrace.portal.views import attempt

# Link previews and crawlers are nobody's visit.
_ROBOT = re.compile(r"bot\b|crawl|spider|slurp|preview|facebookexternalhit|whatsapp", re.IGNORECASE)


@require_safe
def follow_link(request: HttpRequest, code: str) -> HttpResponse:
    """`/r/<code>`: store the click, set or keep the visitor's cookie, and go where the link leads.

    One statement to the database, before the redirect. HEAD requests, prefetches, robots and who follows links by the
    hundred are sent on uncounted and without a cookie. An unknown code is a page that says so (404).
    """
    if not _is_a_visit(request) or is_flooding(request, "click"):
        return _onward(request, click_look_up(code=code))
    visitor_id = visitors.visitor_id_of(request.COOKIES) or uuid7()
    destination = click_record(
        code=code,
        visitor_id=visitor_id,
        at=clock.now(),
        address=client_address(request),
        user_agent=request.headers.get("User-Agent", ""),
        referer=request.headers.get("Referer", ""),
    )
    response = _onward(request, destination)
    if destination is not None:
        visitors.remember(response, visitor_id, secure=request.is_secure())
    return response


@require_POST
@page("feedback")
def csat(request: HttpRequest) -> HttpResponse:
    """The answer to "how satisfied are you", from 1 to 5."""
    caller = request.caller  # type: ignore[attr-defined]
    score = request.POST.get("score", "")
    attempt(
        request,
        lambda: survey_answer(
            tenant_id=caller.tenant_id, kind=SurveyKind.CSAT, score=_score(score), actor=caller.actor
        ),
        done="Thank you, that is kept.",
    )
    return redirect("home")


def _score(text: str) -> int:
    if text not in {"1", "2", "3", "4", "5"}:
        raise Invalid("Choose from 1 to 5.", field="score")
    return int(text)


def _is_a_visit(request: HttpRequest) -> bool:
    if request.method != "GET":
        return False
    purposes = (request.headers.get(name, "") for name in ("Sec-Purpose", "Purpose", "X-Moz", "X-Purpose"))
    if any("prefetch" in purpose.lower() or "preview" in purpose.lower() for purpose in purposes):
        return False
    return not _ROBOT.search(request.headers.get("User-Agent", ""))


def _onward(request: HttpRequest, destination: str | None) -> HttpResponse:
    if destination is None or not is_safe_destination(destination):
        return render(request, "channels_partners/link_unknown.html", status=404)
    response = HttpResponseRedirect(destination)
    response["Cache-Control"] = "no-store"  # a cached redirect would be a click that nobody stored
    return response
