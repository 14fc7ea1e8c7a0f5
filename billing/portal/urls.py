"""This room's pages."""

from django.urls import path

from billing.portal import invoices, panel, plan, pricing, purchase, usage
from millrace.portal import navigation
from millrace.portal.navigation import Entry

urlpatterns = [
    path("pricing/", pricing.prices, name="billing_pricing"),
    path("usage/", usage.index, name="billing_usage"),
    path("billing/", plan.index, name="billing_plan"),
    path("billing/spend-limit", plan.spend_limit, name="billing_spend_limit"),
    path("billing/subscribe", purchase.subscribe, name="billing_subscribe"),
    path("billing/manage", purchase.manage, name="billing_manage"),
    path("billing/change", purchase.change, name="billing_change"),
    path("billing/cancel", purchase.cancel, name="billing_cancel"),
    path("invoices/", invoices.index, name="billing_invoices"),
    path("invoices/<str:invoice_id>/", invoices.detail, name="billing_invoice"),
    path("invoices/<str:invoice_id>/lines/<str:line_id>/", invoices.line, name="billing_invoice_line"),
]

navigation.add(
    "Cost",
    Entry("Usage", "billing_usage", "usage.read", 10),
    Entry("Invoices", "billing_invoices", "billing.read", 20),
    Entry("Plan and limit", "billing_plan", "billing.read", 30),
)
panel.install()
