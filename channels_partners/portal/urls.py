"""This room's pages."""

from django.urls import URLPattern, path

from channels_partners.portal import ops, origin, panel, partner, views
from millrace.portal import navigation, origins
from millrace.portal.navigation import STAFF, Entry

urlpatterns: list[URLPattern] = [
    path("r/<str:code>", views.follow_link, name="follow_link"),
    path("survey", views.csat, name="survey_csat"),
    path("partner/", partner.home, name="partner_home"),
    path("partner/links/", partner.links, name="partner_links"),
    path("partner/links/<str:link_id>/disable", partner.disable_link, name="partner_link_disable"),
    path("partner/codes/<str:code_id>/disable", partner.disable_code, name="partner_code_disable"),
    path("partner/referrals/", partner.referrals, name="partner_referrals"),
    path("partner/earnings/", partner.earnings, name="partner_earnings"),
    path("ops/", ops.overview, name="ops_overview"),
    path("ops/reports/<str:name>/", ops.report, name="ops_report"),
    path("ops/reports/<str:name>/rows", ops.report_rows, name="ops_report_rows"),
    path("ops/attributions/", ops.attributions, name="ops_attributions"),
    path("ops/attributions/<str:attribution_id>/review", ops.review, name="ops_attribution_review"),
]

navigation.add(
    "Partner",
    Entry("Partner’s home", "partner_home", "partner.read", 10),
    Entry("Links and codes", "partner_links", "partner.read", 20),
    Entry("Referrals", "partner_referrals", "partner.read", 30),
    Entry("Earnings", "partner_earnings", "partner.read", 40),
)
navigation.add(
    "Operations",
    Entry("Figures", "ops_overview", STAFF, 10),
    Entry("Reports", "ops_report", STAFF, 20, ("paying-ratio",)),
    Entry("Attributions", "ops_attributions", STAFF, 40),
)
origins.register("partner", origin.partner_name)
panel.install()
