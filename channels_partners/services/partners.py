"""Partners and the terms that they earn by."""

from decimal import Decimal
from typing import Any

from django.db import connection, transaction
from django.db.models import Max

from accounts.models import Tenant, TenantKind
from billing.models import BillingAccount, Subscription
from billing.services.accounts import billing_account_set_terms
from billing.stripe.subscriptions import ENDED
from channels_partners.errors import CodeTaken, RebateInForce
from channels_partners.models import (
    Channel,
    Partner,
    PartnerKind,
    PartnerStatus,
    TermsDuration,
    TermsKind,
    TermsVersion,
)
from millrace.kernel.audit import Actor, record
from millrace.kernel.errors import Invalid
from millrace.kernel.money import exponent
from millrace.kernel.tenancy import platform_scope


def terms_publish(
    *,
    slug: str,
    kind: str,
    actor: Actor,
    rate: Decimal = Decimal(0),
    flat: dict[str, int] | None = None,
    duration: str = TermsDuration.LIFETIME,
    months: int | None = None,
    cap: dict[str, int] | None = None,
    hold_days: int = 0,
) -> TermsVersion:
    """The next version of a commission plan. Customers already bound keep theirs; give it to partners to use it."""
    _check_terms(kind, rate, flat or {}, duration, months, cap)
    with platform_scope(reason="terms are the platform's"), transaction.atomic():
        with connection.cursor() as cursor:  # two versions at the same moment: one waits, and is the next
            cursor.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", [f"terms:{slug}"])
        last = TermsVersion.objects.filter(slug=slug).aggregate(last=Max("version"))["last"] or 0
        terms = TermsVersion.objects.create(
            slug=slug,
            version=last + 1,
            kind=kind,
            rate=rate,
            flat=flat or {},
            duration=duration,
            months=months,
            cap=cap,
            hold_days=hold_days,
        )
        record(actor=actor, action="terms.publish", target=terms, data={"slug": slug, "version": terms.version})
    return terms


def partner_create(
    *,
    organisation: Tenant,
    kind: str,
    channel: Channel,
    actor: Actor,
    name: str = "",
    terms: TermsVersion | None = None,
    discount_percent: Decimal = Decimal(0),
) -> Partner:
    """Set an organisation (a tenant of kind partner) up as a partner. CodeTaken when it is one already."""
    if organisation.kind != TenantKind.PARTNER:
        raise Invalid("A partner's organisation is a tenant of kind partner.", field="organisation")
    if kind not in PartnerKind.values:
        raise Invalid(f"A partner's kind is one of: {', '.join(PartnerKind.values)}.", field="kind")
    with platform_scope(reason="partners are the platform's"), transaction.atomic():
        partner, created = Partner.objects.get_or_create(
            organisation=organisation,
            defaults={
                "name": name or organisation.name,
                "kind": kind,
                "channel": channel,
                "terms": terms,
                "discount_percent": discount_percent,
            },
        )
        if not created:
            raise CodeTaken(f"{organisation.name} is a partner already.", field="organisation")
        record(actor=actor, action="partner.create", target=partner, tenant_id=organisation.pk, data={"kind": kind})
    return partner


def partner_change(*, partner: Partner, actor: Actor, **changes: Any) -> Partner:
    """Change a partner's terms, status, name or discount for the future; what is bound stays as it was.

    RebateInForce for another discount while subscriptions run at the present one: their fees were agreed with it.
    """
    unknown = set(changes) - {"terms", "status", "name", "discount_percent"}
    if unknown:
        raise Invalid("That cannot be changed.", field=sorted(unknown)[0])
    if changes.get("status", PartnerStatus.ACTIVE) not in PartnerStatus.values:
        raise Invalid(f"A partner's status is one of: {', '.join(PartnerStatus.values)}.", field="status")
    with platform_scope(reason="partners are the platform's"), transaction.atomic():
        locked = Partner.objects.select_for_update(of=("self",)).get(pk=partner.pk)
        if changes.get("discount_percent", locked.discount_percent) != locked.discount_percent:
            _change_rebate(locked, changes["discount_percent"], actor)
        for name, value in changes.items():
            setattr(locked, name, value)
        locked.save(update_fields=list(changes))
        data = {name: str(value) for name, value in changes.items()}
        record(actor=actor, action="partner.change", target=locked, tenant_id=locked.organisation_id, data=data)
    return locked


def _change_rebate(partner: Partner, percent: Decimal, actor: Actor) -> None:
    """What the reseller's account is billed by is what its price list shows."""
    account = BillingAccount.objects.filter(owner_tenant_id=partner.organisation_id).first()
    if account is None:
        return
    if Subscription.objects.filter(billing_account=account).exclude(status__in=ENDED).exists():
        raise RebateInForce(
            "Its customers' subscriptions run at the present one: end them first.", field="discount_percent"
        )
    billing_account_set_terms(account_id=account.pk, actor=actor, discount_percent=percent)


def _check_terms(
    kind: str, rate: Decimal, flat: dict[str, int], duration: str, months: int | None, cap: dict[str, int] | None
) -> None:
    if kind not in TermsKind.values:
        raise Invalid(f"Terms are of kind: {', '.join(TermsKind.values)}.", field="kind")
    if duration not in TermsDuration.values:
        raise Invalid(f"A duration is one of: {', '.join(TermsDuration.values)}.", field="duration")
    if (duration == TermsDuration.MONTHS) != (months is not None and months > 0):
        raise Invalid("Give months (1 or more) for the duration 'months', and for no other.", field="months")
    if not 0 <= rate <= 1:
        raise Invalid("A rate is a share from 0 to 1: 0.2 is 20 %.", field="rate")
    if (kind == TermsKind.PERCENT) != (rate > 0) or (kind == TermsKind.FLAT) != bool(flat):
        raise Invalid("Percent terms have a rate above 0, flat ones an amount for each currency.", field="rate")
    if cap is not None and not cap:
        raise Invalid("A cap names an amount for each currency; leave it out for none.", field="cap")
    for name, amounts in (("flat", flat), ("cap", cap or {})):
        for currency, amount in amounts.items():
            exponent(currency)
            if type(amount) is not int or amount <= 0:
                raise Invalid("Amounts are whole minor units above zero.", field=name)
