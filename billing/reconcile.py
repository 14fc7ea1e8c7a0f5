"""This room's invariants: usage is billed once, invoices add up to Stripe's cent, the ledger balances."""

from django.db import connection

from millrace.kernel.reconcile import Check, check


@check("R2")
def r2() -> Check:
    """Every usage event stands on exactly one line of its tenant and meter, or waits for the next invoice."""
    differences = [
        f"line {line} of invoice {invoice} says {said} {meter}; its events are {real}"
        for line, invoice, meter, said, real in _rows(_LINES_WITHOUT_THEIR_EVENTS)
    ]
    differences += [
        f"usage event {event} ({meter}) stands on line {line} of another tenant, meter or time, or of no invoice"
        for event, meter, line in _rows(_EVENTS_ON_THE_WRONG_LINE)
    ]
    differences += [
        f"usage event {event} ({meter}, {at:%Y-%m-%d}) was there when its period was billed, and is on no invoice"
        for event, meter, at in _rows(_EVENTS_PASSED_OVER)
    ]
    differences += [
        f"tenant {tenant}, {meter}: {used} used, {billed} on lines, {waiting} waiting"
        for tenant, meter, used, billed, waiting in _rows(_TOTALS)
    ]
    return Check("R2", "usage = quantities on invoice lines + what waits", _count("billing_usageevent"), differences)


@check("R3")
def r3() -> Check:
    """Lines − discounts + tax = total, for every invoice that has left the draft, and what is paid is posted; all that
    Stripe told us was taken in."""
    differences = [
        f"invoice {invoice}: lines {lines} − discounts {discounts} + tax {tax} is not the total {total}"
        for invoice, lines, discounts, tax, total in _rows(_INVOICES_THAT_DO_NOT_ADD_UP)
    ]
    differences += [f"invoice {invoice} is held: {reason}" for invoice, reason in _rows(_HELD)]
    differences += [
        f"invoice {invoice}: {paid} paid, {posted} posted" for invoice, paid, posted in _rows(_PAID_AND_POSTED)
    ]
    differences += [f"invoice {invoice} is paid and not posted" for (invoice,) in _rows(_PAID_NOT_SETTLED)]
    differences += [
        f"Stripe's event {event} ({kind}) was given up: {error[:200]}" for event, kind, error in _rows(_GIVEN_UP)
    ]
    differences += [
        f"{kind} {ident}: {amount} went back, {posted} is on its lines"
        for kind, ident, amount, posted in _rows(_REVERSALS)
    ]
    return Check("R3", "lines − discounts + tax = total = what is posted", _count("billing_invoice"), differences)


@check("R4")
def r4() -> Check:
    """Every ledger transaction sums to zero in each currency."""
    differences = [
        f"ledger transaction {key} is off by {amount} {currency}" for key, currency, amount in _rows(_UNBALANCED)
    ]
    return Check("R4", "every ledger transaction sums to zero", _count("kernel_ledgertransaction"), differences)


_LINES_WITHOUT_THEIR_EVENTS = """
    SELECT l.id, i.stripe_id, l.meter, l.quantity, coalesce(sum(u.quantity), 0)
    FROM billing_invoiceline l JOIN billing_invoice i ON i.id = l.invoice_id
    LEFT JOIN billing_usageevent u ON u.invoice_line_id = l.id
    WHERE l.kind = 'usage'
    GROUP BY l.id, i.stripe_id, l.meter, l.quantity HAVING l.quantity <> coalesce(sum(u.quantity), 0)
"""
_EVENTS_ON_THE_WRONG_LINE = """
    SELECT u.id, u.meter, l.id FROM billing_usageevent u JOIN billing_invoiceline l ON l.id = u.invoice_line_id
    JOIN billing_invoice i ON i.id = l.invoice_id
    WHERE l.tenant_id <> u.tenant_id OR l.meter <> u.meter OR u.occurred_at >= l.period_end OR l.kind <> 'usage'
       OR i.status = 'deleted'
"""
# An event of a subscription's time, recorded well before an invoice of that time was rated, and still on no line.
_EVENTS_PASSED_OVER = """
    SELECT u.id, u.meter, u.occurred_at FROM billing_usageevent u
    WHERE u.invoice_line_id IS NULL AND EXISTS (
        SELECT 1 FROM billing_invoice i JOIN billing_subscription s ON s.id = i.subscription_id
        WHERE i.tenant_id = u.tenant_id AND i.status NOT IN ('draft', 'deleted')
          AND i.rated_at > u.created_at + interval '1 minute' AND i.period_end > u.occurred_at
          AND u.occurred_at >= s.started_at AND (s.ended_at IS NULL OR u.occurred_at < s.ended_at)
          AND EXISTS (SELECT 1 FROM billing_invoiceline l WHERE l.invoice_id = i.id AND l.kind = 'usage'))
"""
_TOTALS = """
    SELECT u.tenant_id, u.meter, sum(u.quantity), coalesce(max(b.billed), 0),
           coalesce(sum(u.quantity) FILTER (WHERE u.invoice_line_id IS NULL), 0)
    FROM billing_usageevent u LEFT JOIN (
        SELECT tenant_id, meter, sum(quantity) AS billed FROM billing_invoiceline WHERE kind = 'usage'
        GROUP BY tenant_id, meter) b ON b.tenant_id = u.tenant_id AND b.meter = u.meter
    GROUP BY u.tenant_id, u.meter
    HAVING sum(u.quantity) <> coalesce(max(b.billed), 0)
                            + coalesce(sum(u.quantity) FILTER (WHERE u.invoice_line_id IS NULL), 0)
"""
_INVOICES_THAT_DO_NOT_ADD_UP = """
    SELECT i.stripe_id, coalesce(sum(l.amount), 0), i.discount, i.tax, i.total
    FROM billing_invoice i LEFT JOIN billing_invoiceline l ON l.invoice_id = i.id
    WHERE i.status NOT IN ('draft', 'deleted')
    GROUP BY i.id
    HAVING coalesce(sum(l.amount), 0) - i.discount + i.tax <> i.total
        OR coalesce(sum(l.discount), 0) <> i.discount OR coalesce(sum(l.amount), 0) <> i.subtotal
"""
_HELD = "SELECT stripe_id, hold_reason FROM billing_invoice WHERE status = 'draft' AND hold_reason <> ''"
_PAID_NOT_SETTLED = "SELECT stripe_id FROM billing_invoice WHERE status = 'paid' AND settled_at IS NULL"
_GIVEN_UP = "SELECT stripe_id, type, last_error FROM billing_stripeevent WHERE state = 'failed'"
_PAID_AND_POSTED = """
    SELECT i.stripe_id, i.total, -coalesce(sum(e.amount), 0)
    FROM billing_invoice i
    LEFT JOIN kernel_ledgertransaction t ON t.key = 'invoice:' || i.stripe_id
    LEFT JOIN kernel_ledgerentry e ON e.transaction_id = t.id
        AND (e.account LIKE 'revenue:%%' OR e.account = 'tax:payable')
    WHERE i.settled_at IS NOT NULL
    GROUP BY i.id HAVING i.total <> -coalesce(sum(e.amount), 0)
"""
_REVERSALS = """
    SELECT 'refund', r.stripe_id, r.amount, coalesce(sum(l.amount), 0)
    FROM billing_refund r LEFT JOIN billing_reversalline l ON l.refund_id = r.id
    WHERE r.status = 'succeeded' AND r.posted_at IS NOT NULL
    GROUP BY r.id HAVING r.amount <> coalesce(sum(l.amount), 0)
    UNION ALL
    SELECT 'refund', r.stripe_id, r.amount, 0 FROM billing_refund r
    WHERE r.status = 'succeeded' AND r.posted_at IS NULL
    UNION ALL
    SELECT 'refund', r.stripe_id, 0, sum(l.amount)
    FROM billing_refund r JOIN billing_reversalline l ON l.refund_id = r.id
    WHERE r.status IN ('failed', 'canceled') GROUP BY r.id HAVING sum(l.amount) <> 0
    UNION ALL
    SELECT 'dispute', d.stripe_id, d.amount, coalesce(sum(l.amount), 0)
    FROM billing_dispute d LEFT JOIN billing_reversalline l ON l.dispute_id = d.id
    WHERE d.status = 'lost' GROUP BY d.id HAVING d.amount <> coalesce(sum(l.amount), 0)
    UNION ALL
    SELECT 'dispute', d.stripe_id, 0, sum(l.amount)
    FROM billing_dispute d JOIN billing_reversalline l ON l.dispute_id = d.id
    WHERE d.status = 'won' GROUP BY d.id HAVING sum(l.amount) <> 0
"""
_UNBALANCED = """
    SELECT t.key, e.currency, sum(e.amount)
    FROM kernel_ledgerentry e JOIN kernel_ledgertransaction t ON t.id = e.transaction_id
    GROUP BY t.key, e.currency HAVING sum(e.amount) <> 0
"""


def _rows(sql: str) -> list[tuple]:
    with connection.cursor() as cursor:
        cursor.execute(sql, [])
        return cursor.fetchall()


def _count(table: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM {connection.ops.quote_name(table)}")  # noqa: S608 - named above
        return cursor.fetchone()[0]
