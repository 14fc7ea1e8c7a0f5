"""This room's doors under /v1/."""

from django.urls import path

from billing.api import usage, views

urlpatterns = [
    path("plans", views.Plans.as_view()),
    path("checkout-sessions", views.CheckoutSessions.as_view()),
    path("billing-portal-sessions", views.BillingPortalSessions.as_view()),
    path("subscription", views.SubscriptionDoor.as_view()),
    path("invoices", views.Invoices.as_view()),
    path("invoices/<str:invoice_id>", views.InvoiceDoor.as_view()),
    path("invoices/<str:invoice_id>/lines", views.InvoiceLines.as_view()),
    path("usage", usage.UsageDoor.as_view()),
    path("meters", usage.Meters.as_view()),
    path("usage-events", usage.UsageEvents.as_view()),
    path("entitlements", views.Entitlements.as_view()),
    path("spend-limit", views.SpendLimit.as_view()),
]
