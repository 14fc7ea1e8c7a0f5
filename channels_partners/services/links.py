"""Links and codes that customers come by."""

import re
from datetime import datetime
from posixpath import normpath
from urllib.parse import unquote, urlsplit
from uuid import UUID

from django.db import transaction
from django.utils.http import url_has_allowed_host_and_scheme

from accounts.secrets import new_token
from channels_partners.errors import CodeTaken, DestinationInvalid
from channels_partners.models import Campaign, Channel, Code, Link, Partner
from millrace.kernel import clock
from millrace.kernel.audit import Actor, record
from millrace.kernel.errors import Invalid
from millrace.kernel.tenancy import platform_scope

_CODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{2,39}")
_DEFAULT_DESTINATION = "/accounts/signup/"


def is_safe_destination(destination: str) -> bool:
    """Whether it is a path of this site, nothing that a browser would take elsewhere, and no link again: one that leads
    to itself would count a visit as often as a browser goes round."""
    if not destination.startswith("/") or destination.startswith(("//", "/\\")) or "\\" in destination:
        return False
    if not destination.isprintable():
        return False
    parts = urlsplit(destination)
    if normpath(unquote(parts.path)).startswith("/r/"):
        return False
    return not parts.scheme and not parts.netloc and url_has_allowed_host_and_scheme(destination, allowed_hosts=None)


def link_create(
    *,
    channel: Channel,
    actor: Actor,
    partner: Partner | None = None,
    campaign: Campaign | None = None,
    destination: str = "",
    code: str = "",
    name: str = "",
) -> Link:
    """A new link, `/r/<code>`; the code is made up where none is wished for. DestinationInvalid, CodeTaken."""
    destination = destination or _DEFAULT_DESTINATION
    if not is_safe_destination(destination):
        raise DestinationInvalid("Give a path of this site, such as /pricing.", field="destination")
    code = _checked(code).lower() if code else new_token(8)
    with platform_scope(reason="partners' rows are the platform's"), transaction.atomic():
        link, created = Link.objects.get_or_create(
            code=code,
            defaults={
                "name": name,
                "destination": destination,
                "channel": channel,
                "partner": partner,
                "campaign": campaign,
            },
        )
        if not created:
            raise CodeTaken("Choose another code.", field="code")
        record(actor=actor, action="link.create", target=link, tenant_id=_organisation(partner), data={"code": code})
    return link


def link_disable(*, link: Link, actor: Actor) -> Link:
    """The link leads nowhere from now on; its clicks and attributions stay. Safe to repeat."""
    with platform_scope(reason="partners' rows are the platform's"), transaction.atomic():
        if Link.objects.filter(pk=link.pk, disabled_at__isnull=True).update(disabled_at=clock.now()):
            record(actor=actor, action="link.disable", target=link, tenant_id=_organisation(link.partner))
    link.refresh_from_db()
    return link


def code_create(
    *,
    code: str,
    channel: Channel,
    actor: Actor,
    partner: Partner | None = None,
    campaign: Campaign | None = None,
    expires_at: datetime | None = None,
) -> Code:
    """A new code to be typed at sign-up. CodeTaken when somebody has it."""
    code = _checked(code).upper()
    if expires_at is not None and expires_at <= clock.now():
        raise Invalid("A code expires in the future.", field="expires_at")
    with platform_scope(reason="partners' rows are the platform's"), transaction.atomic():
        made, created = Code.objects.get_or_create(
            code=code,
            defaults={"channel": channel, "partner": partner, "campaign": campaign, "expires_at": expires_at},
        )
        if not created:
            raise CodeTaken("Choose another code.", field="code")
        record(actor=actor, action="code.create", target=made, tenant_id=_organisation(partner), data={"code": code})
    return made


def code_disable(*, code: Code, actor: Actor) -> Code:
    """Nobody new comes by the code. Safe to repeat."""
    with platform_scope(reason="partners' rows are the platform's"), transaction.atomic():
        if Code.objects.filter(pk=code.pk, disabled_at__isnull=True).update(disabled_at=clock.now()):
            record(actor=actor, action="code.disable", target=code, tenant_id=_organisation(code.partner))
    code.refresh_from_db()
    return code


def _checked(code: str) -> str:
    if not _CODE.fullmatch(code):
        raise Invalid("A code has 3 to 40 letters, digits, - or _, and begins with a letter or digit.", field="code")
    return code


def _organisation(partner: Partner | None) -> UUID | None:
    return partner.organisation_id if partner else None
