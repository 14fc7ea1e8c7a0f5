"""This room's doors under /v1/."""

from django.urls import URLPattern, path

from channels_partners.api import partner, reports, surveys

urlpatterns: list[URLPattern] = [
    path("partner", partner.PartnerDoor.as_view(), name="api_partner"),
    path("partner/links", partner.Links.as_view(), name="api_partner_links"),
    path("partner/links/<str:link_id>/disable", partner.LinkDisable.as_view(), name="api_partner_link_disable"),
    path("partner/codes", partner.Codes.as_view(), name="api_partner_codes"),
    path("partner/codes/<str:code_id>/disable", partner.CodeDisable.as_view(), name="api_partner_code_disable"),
    path("partner/deals", partner.Deals.as_view(), name="api_partner_deals"),
    path("partner/deals/<str:deal_id>/withdraw", partner.DealWithdraw.as_view(), name="api_partner_deal_withdraw"),
    path("partner/referrals", partner.Referrals.as_view(), name="api_partner_referrals"),
    path("partner/commissions", partner.Commissions.as_view(), name="api_partner_commissions"),
    path("surveys/csat", surveys.Csat.as_view(), name="api_survey_csat"),
    path("surveys/nps", surveys.Nps.as_view(), name="api_survey_nps"),
    path("ops/reports/<str:name>", reports.ReportDoor.as_view(), name="api_ops_report"),
    path("ops/reports/<str:name>/rows", reports.ReportRows.as_view(), name="api_ops_report_rows"),
]
