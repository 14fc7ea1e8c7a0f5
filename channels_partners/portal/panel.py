"""What the overview tells a partner, and what it asks of customers: how satisfied they are, once a month."""

from django.http import HttpRequest

from channels_partners import selectors
from channels_partners.errors import NotAPartner
from channels_partners.models import SurveyAnswer, SurveyKind
from millrace.kernel import clock
from millrace.portal import panels


def install() -> None:
    """Add the panels to the overview."""
    panels.add(panels.Panel("channels.partner", "channels_partners/panel_partner.html", "partner.read", _owed, order=5))
    panels.add(panels.Panel("channels.csat", "channels_partners/panel_csat.html", "feedback", _csat, order=90))


def _owed(request: HttpRequest) -> dict | None:
    try:
        partner = selectors.partner_of(request.caller.tenant_id)  # type: ignore[attr-defined]
    except NotAPartner:
        return None  # an organisation of partners whose terms are not agreed yet
    return {"balances": selectors.partner_balances(partner)}


def _csat(request: HttpRequest) -> dict | None:
    caller = request.caller  # type: ignore[attr-defined]
    month = clock.now().date().replace(day=1)
    answered = SurveyAnswer.objects.filter(
        tenant_id=caller.tenant_id, kind=SurveyKind.CSAT, respondent=str(caller.actor), month=month
    )
    if caller.tenant.kind != "customer" or answered.exists():
        return None
    return {"scale": [(1, "not at all"), (2, ""), (3, ""), (4, ""), (5, "very")]}
