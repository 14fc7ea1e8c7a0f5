"""Registered deals."""

from datetime import timedelta

from django.db import connection, transaction

from channels_partners.attribution import PUBLIC_MAIL_DOMAINS, domain_of
from channels_partners.errors import DealTaken
from channels_partners.models import Deal, Partner
from millrace.kernel import clock
from millrace.kernel.audit import Actor, record
from millrace.kernel.errors import Invalid
from millrace.kernel.tenancy import platform_scope

DEAL_DAYS = 90


def deal_register(*, partner: Partner, company: str, actor: Actor, domain: str = "", email: str = "") -> Deal:
    """Register a company, by its mail domain or by one address, for 90 days. The first partner to do so has it.

    DealTaken while another deal covers it. A public mail domain belongs to nobody: give the address then.
    """
    domain = (domain or domain_of(email)).strip().lower().removeprefix("@")
    if not domain or "." not in domain or domain_of(f"x@{domain}") != domain:
        raise Invalid("Give the company's mail domain, such as acme.example, or an address.", field="domain")
    if not email and domain in PUBLIC_MAIL_DOMAINS:
        raise Invalid("Anybody may use this mail domain: give the person's address.", field="email")
    email = email.strip().lower()
    if email and domain_of(email) != domain:
        raise Invalid("The address is not of that domain.", field="email")
    with platform_scope(reason="partners' rows are the platform's"), transaction.atomic():
        with connection.cursor() as cursor:  # two partners at the same moment: one waits, then is refused
            cursor.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", [f"deal:{domain}"])
        now = clock.now()
        live = Deal.objects.filter(domain=domain, withdrawn_at__isnull=True, expires_at__gt=now)
        if any(not email or not other or other == email for other in live.values_list("email", flat=True)):
            raise DealTaken("A registered deal covers this company.", field="email" if email else "domain")
        deal = Deal.objects.create(
            partner=partner, company=company, domain=domain, email=email, expires_at=now + timedelta(days=DEAL_DAYS)
        )
        record(actor=actor, action="deal.register", target=deal, tenant_id=partner.organisation_id)
    return deal


def deal_withdraw(*, deal: Deal, actor: Actor) -> Deal:
    """Give the company free again. Safe to repeat."""
    with platform_scope(reason="partners' rows are the platform's"), transaction.atomic():
        if Deal.objects.filter(pk=deal.pk, withdrawn_at__isnull=True).update(withdrawn_at=clock.now()):
            record(actor=actor, action="deal.withdraw", target=deal, tenant_id=deal.partner.organisation_id)
    deal.refresh_from_db()
    return deal
