"""Whose link brought a visitor: told to the sign-up page, which knows no partners."""

from django.http import HttpRequest

from channels_partners.selectors import partner_for_visitor
from millrace.kernel import visitors


def partner_name(request: HttpRequest) -> str:
    """The partner's name; empty for whoever followed no partner's link."""
    partner = partner_for_visitor(visitors.visitor_id_of(request.COOKIES))
    return partner.name if partner else ""
