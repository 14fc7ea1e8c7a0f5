"""Rating: which usage an invoice bills, at which price, on which lines. Local arithmetic and one transaction.

An event is billed by being linked to a line, once. Whatever is not linked yet and lies before the period's end is
taken: so usage that came late goes onto the next one and is never lost. A period whose invoice was finalised without
us is rated with the next one, as the period of its own that it was: with its allowances, fixed parts and minimum.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from uuid import UUID

from dateutil.relativedelta import relativedelta
from django.db import connection, transaction
from django.db.models import F, Max, Q, QuerySet

from billing import pricing
from billing.models import (
    Invoice,
    InvoiceLine,
    InvoiceStatus,
    LineKind,
    PriceVersion,
    Subscription,
    SubscriptionStatus,
    TenantBilling,
    UsageEvent,
)
from billing.selectors.spending import components_of
from millrace.kernel import clock
from millrace.kernel.ids import uuid7
from millrace.kernel.money import step


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of the billed window in which one price held; `share` is its part of a whole interval."""

    price: PriceVersion
    start: datetime
    end: datetime
    share: Fraction
    minimum_share: Fraction


def invoice_rate(*, invoice_id: UUID, whole_end: datetime | None = None) -> list[InvoiceLine]:
    """Put the usage of the invoice's window onto lines of it, once; the lines that it has.

    `whole_end` is when the last interval would have ended, for a subscription that was ended early. Runs in the
    platform's scope, under the tenant's billing row: two ratings of one tenant never see the same event.
    """
    with transaction.atomic():
        invoice = Invoice.objects.select_related("subscription", "billing_account").get(pk=invoice_id)
        list(TenantBilling.objects.select_for_update().filter(tenant_id=invoice.tenant_id))
        locked = Invoice.objects.select_for_update(of=("self",)).get(pk=invoice_id)
        awaits = locked.status == InvoiceStatus.DRAFT and locked.rated_at is None
        if awaits and invoice.subscription is not None:
            twin = Invoice.objects.filter(
                subscription=invoice.subscription, period_end=invoice.period_end, rated_at__isnull=False
            ).exists()
            segments = [
                (segment, False)
                for start, end in _missed(invoice, invoice.subscription)
                for segment in _segments(invoice.subscription, start, end)
            ]
            own = _segments(invoice.subscription, invoice.period_start, invoice.period_end, whole_end)
            segments += [(segment, twin) for segment in own]
            for number, (segment, only_usage) in enumerate(segments):
                _rate_segment(invoice, segment, carries=number == 0, only_usage=only_usage)
            locked.rated_at = clock.now()
            locked.save(update_fields=["rated_at"])
        return list(locked.lines.filter(kind__in=_OURS).order_by("id"))


def invoice_unrate(*, invoice_id: UUID) -> None:
    """Give the usage of a thrown-away draft back, to be billed by the next invoice. Safe to repeat."""
    with transaction.atomic():
        invoice = Invoice.objects.select_for_update().get(pk=invoice_id)
        UsageEvent.objects.filter(invoice_line__invoice=invoice).update(invoice_line=None)
        invoice.lines.all().delete()
        invoice.rated_at = None
        invoice.save(update_fields=["rated_at"])


def has_unbilled(subscription: Subscription, until: datetime) -> bool:
    """Whether usage waits for an invoice of this subscription."""
    waiting = UsageEvent.objects.filter(
        _covered(subscription.tenant_id), tenant_id=subscription.tenant_id, invoice_line__isnull=True
    )
    return waiting.filter(occurred_at__lt=until).exists()


def has_fixed(subscription: Subscription) -> bool:
    """Whether a price that the subscription had owes something in arrears whatever is used."""
    prices = [phase.price_version for phase in subscription.phases.select_related("price_version")]
    return any(
        price.minimum_commitment or any(isinstance(part, pricing.Flat) for part in components_of(price))
        for price in prices
    )


_SECOND = timedelta(seconds=1)
_OURS = (LineKind.USAGE, LineKind.FLAT, LineKind.TRUE_UP)


def _missed(invoice: Invoice, subscription: Subscription) -> list[tuple[datetime, datetime]]:
    """Periods since the last rated one whose invoices left the draft before we could rate them, oldest first."""
    earlier = Invoice.objects.filter(subscription=subscription, period_end__lte=invoice.period_start)
    earlier = earlier.exclude(status__in=(InvoiceStatus.DRAFT, InvoiceStatus.DELETED))
    rated = earlier.filter(rated_at__isnull=False).aggregate(end=Max("period_end"))["end"] or subscription.started_at
    missed = earlier.filter(rated_at__isnull=True, period_start__gte=rated, period_end__gt=F("period_start"))
    return list(missed.order_by("period_end").values_list("period_start", "period_end").distinct())


def _segments(
    subscription: Subscription, start: datetime, end: datetime, whole_end: datetime | None = None
) -> list[Segment]:
    phases = list(subscription.phases.select_related("price_version__plan").order_by("starts_at"))
    whole = _whole_seconds(phases[0].price_version, subscription, start, end, whole_end)
    in_trial = subscription.trial_end is not None and end <= subscription.trial_end
    found: list[tuple[PriceVersion, datetime, datetime]] = []
    for number, phase in enumerate(phases):
        following = phases[number + 1].starts_at if number + 1 < len(phases) else end
        begins, ends = max(start, phase.starts_at), min(end, following)
        if begins < ends:
            found.append((phase.price_version, begins, ends))
    if not found:  # a window of no length: only what was carried
        found = [(subscription.price_version, start, end)]
    window = Fraction((end - start) // _SECOND) or Fraction(1)
    segments = []
    for price, begins, ends in found:
        length = Fraction((ends - begins) // _SECOND)
        share = min(Fraction(1), length / whole)
        minimum_share = Fraction(0) if in_trial else share if price.prorates_minimum else length / window
        segments.append(Segment(price, begins, ends, share, minimum_share))
    return segments


def _whole_seconds(
    price: PriceVersion, subscription: Subscription, start: datetime, end: datetime, whole_end: datetime | None
) -> Fraction:
    """The length of the whole interval that the window is, or is a part of."""
    if whole_end is not None and whole_end > end:
        end = whole_end
    if price.anchor_day is not None and start == subscription.started_at:
        step = relativedelta(years=1) if price.interval == "year" else relativedelta(months=1)
        start = min(start, end - step)
    return Fraction((end - start) // _SECOND) or Fraction(1)


def _rate_segment(invoice: Invoice, segment: Segment, *, carries: bool, only_usage: bool) -> None:
    tenant_id = invoice.tenant_id
    waiting = UsageEvent.objects.filter(tenant_id=tenant_id, invoice_line__isnull=True)
    inside = Q(occurred_at__gte=segment.start, occurred_at__lt=segment.end)
    if carries:
        inside |= Q(occurred_at__lt=segment.start) & _covered(tenant_id)
    meters = waiting.filter(inside).values_list("meter", flat=True).distinct().order_by("meter")
    line_ids = {meter: uuid7() for meter in meters}
    quantities = {
        meter: _link(waiting.filter(inside, meter=meter), line_id, segment) for meter, line_id in line_ids.items()
    }
    rated = pricing.rate(
        components_of(segment.price),
        {meter: total for meter, (total, _) in quantities.items()},
        minimum=0 if only_usage else segment.price.minimum_commitment,
        discount_percent=invoice.billing_account.discount_percent,
        share=segment.share,
        minimum_share=segment.minimum_share,
        step=step(invoice.currency),
    )
    lines = [line for line in rated if not (only_usage and line.kind == "flat")]
    known = {line.meter for line in lines}
    # A meter whose events are all of quantity zero still has a line, for its events to stand on.
    lines += [pricing.RatedLine("usage", meter, 0, Decimal(0), 0) for meter in sorted(line_ids.keys() - known)]
    InvoiceLine.objects.bulk_create(
        _line(invoice, segment, line, line_ids.get(line.meter) or uuid7(), quantities) for line in lines
    )


def _link(events: QuerySet[UsageEvent], line_id: UUID, segment: Segment) -> tuple[int, int]:
    """Claim the events for the line that is about to be written (its key is checked at commit): their quantity, and
    how much of it lies before the segment. What is recorded meanwhile is not among them and waits."""
    chosen, values = events.values("id").query.sql_with_params()
    with connection.cursor() as cursor:
        cursor.execute(_CLAIM.format(chosen=chosen), [line_id, *values, segment.start])
        total, before = cursor.fetchone()
    return int(total), int(before)


# One statement, however many events: what they are never leaves the database.
_CLAIM = """
    WITH claimed AS (
        UPDATE billing_usageevent SET invoice_line_id = %s WHERE id IN ({chosen}) RETURNING quantity, occurred_at
    )
    SELECT coalesce(sum(quantity), 0), coalesce(sum(quantity) FILTER (WHERE occurred_at < %s), 0) FROM claimed
"""


def _covered(tenant_id: UUID) -> Q:
    """Moments at which the tenant had a subscription: usage outside them was free. One whose first payment was never
    made is none."""
    begun = Subscription.objects.filter(tenant_id=tenant_id).exclude(status=SubscriptionStatus.INCOMPLETE_EXPIRED)
    spans = begun.values_list("started_at", "ended_at")
    covered = Q(pk__in=[])
    for started, ended in spans:
        covered |= Q(occurred_at__gte=started) & (Q(occurred_at__lt=ended) if ended else Q())
    return covered


def _line(
    invoice: Invoice,
    segment: Segment,
    line: pricing.RatedLine,
    line_id: UUID,
    quantities: dict[str, tuple[int, int]],
) -> InvoiceLine:
    carried = quantities.get(line.meter, (0, 0))[1]
    return InvoiceLine(
        id=line_id,
        tenant_id=invoice.tenant_id,
        invoice=invoice,
        kind=line.kind,
        stream="usage",
        meter=line.meter,
        quantity=line.quantity,
        amount=line.amount,
        currency=invoice.currency,
        description=_describe(line, segment),
        detail=line.detail | ({"carried": carried} if carried else {}),
        period_start=segment.start,
        period_end=segment.end,
        price_version=segment.price,
    )


def _describe(line: pricing.RatedLine, segment: Segment) -> str:
    span = f"{segment.start:%Y-%m-%d} – {segment.end:%Y-%m-%d}"
    if line.kind == "true_up":
        return f"Minimum commitment, {segment.price.plan.name}, {span}"
    if line.kind == "flat":
        return f"{line.detail['name']}, {span}"
    return f"{line.quantity:,} {line.meter}, {span}"
