"""Invoices: what each is made of, down to the usage events."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from accounts.portal.guard import page
from billing.selectors.invoices import invoice, invoice_line, invoice_lines, invoices, usage_of_line
from millrace.portal.views import cursor_page


@require_safe
@page("billing.read")
def index(request: HttpRequest) -> HttpResponse:
    """All of them, newest first."""
    found = cursor_page(invoices(request.caller.tenant_id), request)  # type: ignore[attr-defined]
    return render(request, "billing/invoices.html", {"page": found})


@require_safe
@page("billing.read")
def detail(request: HttpRequest, invoice_id: str) -> HttpResponse:
    """One with its lines, refunds and disputes."""
    tenant_id = request.caller.tenant_id  # type: ignore[attr-defined]
    found = invoice(tenant_id, invoice_id)
    values = {
        "invoice": found,
        "lines": invoice_lines(tenant_id, found.pk),
        "refunds": found.refunds.order_by("id"),
        "disputes": found.disputes.order_by("id"),
    }
    return render(request, "billing/invoice.html", values)


@require_safe
@page("billing.read")
def line(request: HttpRequest, invoice_id: str, line_id: str) -> HttpResponse:
    """One line: how its amount was reached, and the usage events behind it."""
    tenant_id = request.caller.tenant_id  # type: ignore[attr-defined]
    found = invoice(tenant_id, invoice_id)
    one = invoice_line(tenant_id, found.pk, line_id)
    events = cursor_page(usage_of_line(tenant_id, one.pk), request, size=50)
    return render(request, "billing/invoice_line.html", {"invoice": found, "line": one, "page": events})
