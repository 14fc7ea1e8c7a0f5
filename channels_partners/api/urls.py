"""This room's doors under /v1/."""

from django.urls import URLPattern, path

from channels_partners.api import ops, partner, reports, reseller, surveys

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
    path("partner/report", partner.PartnerReport.as_view(), name="api_partner_report"),
    path("reseller/tenants", reseller.Tenants.as_view(), name="api_reseller_tenants"),
    path("reseller/tenants/<str:tenant_id>", reseller.TenantDoor.as_view(), name="api_reseller_tenant"),
    path("reseller/tenants/<str:tenant_id>/suspend", reseller.Suspend.as_view(), name="api_reseller_suspend"),
    path("reseller/tenants/<str:tenant_id>/resume", reseller.Resume.as_view(), name="api_reseller_resume"),
    path(
        "reseller/tenants/<str:tenant_id>/checkout-sessions", reseller.Checkout.as_view(), name="api_reseller_checkout"
    ),
    path("reseller/tenants/<str:tenant_id>/usage", reseller.Usage.as_view(), name="api_reseller_usage"),
    path("reseller/tenants/<str:tenant_id>/spend-limit", reseller.SpendLimit.as_view(), name="api_reseller_limit"),
    path("reseller/invoices", reseller.Invoices.as_view(), name="api_reseller_invoices"),
    path("reseller/prices", reseller.Prices.as_view(), name="api_reseller_prices"),
    path("surveys/csat", surveys.Csat.as_view(), name="api_survey_csat"),
    path("surveys/nps", surveys.Nps.as_view(), name="api_survey_nps"),
    path("ops/channels", ops.Channels.as_view(), name="api_ops_channels"),
    path("ops/campaigns", ops.Campaigns.as_view(), name="api_ops_campaigns"),
    path("ops/spend", ops.Spends.as_view(), name="api_ops_spend"),
    path("ops/links", ops.OpsLinks.as_view(), name="api_ops_links"),
    path("ops/codes", ops.OpsCodes.as_view(), name="api_ops_codes"),
    path("ops/terms", ops.TermsDoor.as_view(), name="api_ops_terms"),
    path("ops/partners", ops.Partners.as_view(), name="api_ops_partners"),
    path("ops/partners/<str:partner_id>", ops.PartnerRowDoor.as_view(), name="api_ops_partner"),
    path("ops/attributions", ops.Attributions.as_view(), name="api_ops_attributions"),
    path("ops/attributions/<str:attribution_id>/review", ops.Review.as_view(), name="api_ops_attribution_review"),
    path("ops/reports/<str:name>", reports.ReportDoor.as_view(), name="api_ops_report"),
    path("ops/reports/<str:name>/rows", reports.ReportRows.as_view(), name="api_ops_report_rows"),
]
