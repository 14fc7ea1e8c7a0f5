"""What each of this room's addresses asks of its caller."""

from tests.guards.permission_table import Row

_OF_PARTNER = [
    Row("GET", "/v1/partner", "partner.read"),
    Row("GET", "/v1/partner/links", "partner.read"),
    Row("POST", "/v1/partner/links", "partner.write"),
    Row("POST", "/v1/partner/links/{link_id}/disable", "partner.write"),
    Row("GET", "/v1/partner/codes", "partner.read"),
    Row("POST", "/v1/partner/codes", "partner.write"),
    Row("POST", "/v1/partner/codes/{code_id}/disable", "partner.write"),
    Row("GET", "/v1/partner/deals", "partner.read"),
    Row("POST", "/v1/partner/deals", "partner.write"),
    Row("POST", "/v1/partner/deals/{deal_id}/withdraw", "partner.write"),
    Row("GET", "/v1/partner/referrals", "partner.read"),
    Row("GET", "/v1/partner/commissions", "partner.read"),
    Row("GET", "/v1/partner/report", "partner.read"),
]
_OF_RESELLER = [
    Row("GET", "/v1/reseller/tenants", "reseller.read"),
    Row("POST", "/v1/reseller/tenants", "reseller.write"),
    Row("GET", "/v1/reseller/tenants/{tenant_id}", "reseller.read"),
    Row("POST", "/v1/reseller/tenants/{tenant_id}/suspend", "reseller.write"),
    Row("POST", "/v1/reseller/tenants/{tenant_id}/resume", "reseller.write"),
    Row("POST", "/v1/reseller/tenants/{tenant_id}/checkout-sessions", "reseller.write"),
    Row("GET", "/v1/reseller/tenants/{tenant_id}/usage", "reseller.read"),
    Row("GET", "/v1/reseller/tenants/{tenant_id}/spend-limit", "reseller.read"),
    Row("PUT", "/v1/reseller/tenants/{tenant_id}/spend-limit", "reseller.write"),
    Row("GET", "/v1/reseller/invoices", "reseller.read"),
    Row("GET", "/v1/reseller/prices", "reseller.read"),
]
_OF_STAFF = [
    Row(method, f"/v1/ops/{path}", "ops.read")
    for path in ("channels", "campaigns", "spend", "links", "codes", "terms", "partners")
    for method in ("GET", "POST")
] + [
    Row("GET", "/v1/ops/partners/{partner_id}", "ops.read"),
    Row("PATCH", "/v1/ops/partners/{partner_id}", "ops.read"),
    Row("GET", "/v1/ops/attributions", "ops.read"),
    Row("POST", "/v1/ops/attributions/{attribution_id}/review", "ops.read"),
    Row("GET", "/v1/ops/reports/{name}", "ops.read"),
    Row("GET", "/v1/ops/reports/{name}/rows", "ops.read"),
]
ROWS = [
    *_OF_PARTNER,
    *_OF_RESELLER,
    *_OF_STAFF,
    Row("POST", "/v1/surveys/csat", "feedback"),
    Row("POST", "/v1/surveys/nps", "feedback"),
    Row("GET", "/r/{code}", "public"),
]
