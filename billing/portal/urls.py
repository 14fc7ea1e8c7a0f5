"""This room's pages."""

from django.urls import path

from billing.portal import panel, plan, pricing, usage
from millrace.portal import navigation
from millrace.portal.navigation import Entry

urlpatterns = [
    path("pricing/", pricing.prices, name="billing_pricing"),
    path("usage/", usage.index, name="billing_usage"),
    path("billing/", plan.index, name="billing_plan"),
    path("billing/spend-limit", plan.spend_limit, name="billing_spend_limit"),
]

navigation.add(
    "Cost",
    Entry("Usage", "billing_usage", "usage.read", 10),
    Entry("Plan and limit", "billing_plan", "billing.read", 30),
)
panel.install()
