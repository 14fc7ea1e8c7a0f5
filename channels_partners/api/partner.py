"""What a partner sees and does (permission `partner.*`)."""

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from channels_partners import selectors
from channels_partners.api import serializers as shapes
from channels_partners.models import Campaign, Partner
from channels_partners.reports.params import parse
from channels_partners.reports.partners import partner_report
from channels_partners.reports.queries import paying_tenants
from channels_partners.services.deals import deal_register, deal_withdraw
from channels_partners.services.links import code_create, code_disable, link_create, link_disable
from millrace.api import pagination
from millrace.api.schema import paged
from millrace.api.views import ApiView
from millrace.kernel import clock, ids
from millrace.kernel.errors import Invalid
from millrace.kernel.tenancy import platform_scope

_READ = {"GET": "partner.read"}
_READ_WRITE = {"GET": "partner.read", "POST": "partner.write"}
_WRITE = {"POST": "partner.write"}


class PartnerView(ApiView):
    """Base: the caller's organisation as a partner."""

    @property
    def partner(self) -> Partner:
        """NotAPartner (403) when it is not set up or, to change anything, not active."""
        return selectors.partner_of(self.caller.tenant_id, to_write=self.request.method != "GET")


class PartnerDoor(PartnerView):
    """The partner itself."""

    permission = _READ

    @extend_schema(responses=shapes.PartnerSerializer, summary="The partner, its terms and its balances")
    def get(self, request: Request) -> Response:
        """Balances by the ledger: held back, available, total."""
        partner = self.partner
        context = {"balances": selectors.partner_balances(partner)}
        return Response(shapes.PartnerSerializer(partner, context=context).data)


class Links(PartnerView):
    """The partner's links."""

    permission = _READ_WRITE

    @paged(shapes.LinkSerializer, summary="The partner's links")
    def get(self, request: Request) -> Response:
        """Newest first, disabled ones too."""
        return self.page(selectors.partner_links(self.partner), shapes.LinkSerializer)

    @extend_schema(request=shapes.LinkRequestSerializer, responses={201: shapes.LinkSerializer}, summary="Make a link")
    def post(self, request: Request) -> Response:
        """`/r/<code>` counts clicks and leads to a path of this site."""
        partner, wanted = self.partner, self.valid(shapes.LinkRequestSerializer)
        wanted["campaign"] = campaign_of(partner, wanted.get("campaign"))
        link = link_create(partner=partner, channel=partner.channel, actor=self.caller.actor, **wanted)
        return Response(shapes.LinkSerializer(link).data, status=201)


class LinkDisable(PartnerView):
    """One of them, closed."""

    permission = _WRITE

    @extend_schema(request=None, responses=shapes.LinkSerializer, summary="Disable a link")
    def post(self, request: Request, link_id: str) -> Response:
        """It leads nowhere from now on; clicks and referrals stay."""
        link = selectors.partner_link(self.partner, ids.parse("lnk", link_id))
        return Response(shapes.LinkSerializer(link_disable(link=link, actor=self.caller.actor)).data)


class Codes(PartnerView):
    """The partner's codes."""

    permission = _READ_WRITE

    @paged(shapes.CodeSerializer, summary="The partner's codes")
    def get(self, request: Request) -> Response:
        """Newest first."""
        return self.page(selectors.partner_codes(self.partner), shapes.CodeSerializer)

    @extend_schema(request=shapes.CodeRequestSerializer, responses={201: shapes.CodeSerializer}, summary="Make a code")
    def post(self, request: Request) -> Response:
        """Whoever types it at sign-up is the partner's customer."""
        partner, wanted = self.partner, self.valid(shapes.CodeRequestSerializer)
        wanted["campaign"] = campaign_of(partner, wanted.get("campaign"))
        code = code_create(partner=partner, channel=partner.channel, actor=self.caller.actor, **wanted)
        return Response(shapes.CodeSerializer(code).data, status=201)


class CodeDisable(PartnerView):
    """One of them, closed."""

    permission = _WRITE

    @extend_schema(request=None, responses=shapes.CodeSerializer, summary="Disable a code")
    def post(self, request: Request, code_id: str) -> Response:
        """Nobody new comes by it."""
        code = selectors.partner_code(self.partner, ids.parse("cpn", code_id))
        return Response(shapes.CodeSerializer(code_disable(code=code, actor=self.caller.actor)).data)


class Deals(PartnerView):
    """The partner's registered deals."""

    permission = _READ_WRITE

    @paged(shapes.DealSerializer, summary="The partner's registered deals")
    def get(self, request: Request) -> Response:
        """Newest first."""
        return self.page(selectors.partner_deals(self.partner), shapes.DealSerializer)

    @extend_schema(
        request=shapes.DealRequestSerializer, responses={201: shapes.DealSerializer}, summary="Register a deal"
    )
    def post(self, request: Request) -> Response:
        """Good for 90 days; 409 `deal_taken` while another covers the company."""
        deal = deal_register(partner=self.partner, actor=self.caller.actor, **self.valid(shapes.DealRequestSerializer))
        return Response(shapes.DealSerializer(deal).data, status=201)


class DealWithdraw(PartnerView):
    """One of them, given up."""

    permission = _WRITE

    @extend_schema(request=None, responses=shapes.DealSerializer, summary="Withdraw a deal")
    def post(self, request: Request, deal_id: str) -> Response:
        """The company is free again."""
        deal = selectors.partner_deal(self.partner, ids.parse("deal", deal_id))
        return Response(shapes.DealSerializer(deal_withdraw(deal=deal, actor=self.caller.actor)).data)


class Referrals(PartnerView):
    """The customers that the partner brought."""

    permission = _READ

    @paged(shapes.ReferralSerializer, summary="The customers that the partner brought")
    def get(self, request: Request) -> Response:
        """What a partner may see of them; those under review have the status `held`."""
        partner = self.partner
        with platform_scope(reason="a partner's customers are other tenants"):
            found = pagination.page(request, selectors.partner_referrals(partner), lambda row: row)
            context = {
                "paying": paying_tenants(clock.now(), [row.tenant_id for row in found["data"]]),
                "earned": selectors.earned_by_referral(found["data"]),
            }
            data = shapes.ReferralSerializer(found["data"], many=True, context=context).data
        return Response({**found, "data": data})


class Commissions(PartnerView):
    """The partner's commission, movement by movement."""

    permission = _READ

    @paged(shapes.CommissionSerializer, summary="The partner's commission entries")
    def get(self, request: Request) -> Response:
        """Accruals and claw-backs, newest first; their sum is the balance."""
        partner = self.partner
        with platform_scope(reason="a partner's customers are other tenants"):
            return self.page(selectors.partner_commissions(partner), shapes.CommissionSerializer)


class PartnerReport(PartnerView):
    """The partner's funnel."""

    permission = _READ

    @extend_schema(
        parameters=[OpenApiParameter("from", str), OpenApiParameter("to", str)],
        responses=shapes.PartnerReportSerializer, summary="Clicks, sign-ups, payers and earnings of a period",
    )  # fmt: skip
    def get(self, request: Request) -> Response:
        """`?from=&to=`, by default this month until now: the funnel of the period and what it earned."""
        partner = self.partner
        found = partner_report(partner, parse(request.query_params, groupings=("partner",)))
        return Response(shapes.PartnerReportSerializer(found).data)


def campaign_of(partner: Partner, slug: str | None) -> Campaign | None:
    """A campaign of the partner's channel; Invalid for any other."""
    if not slug:
        return None
    campaign = Campaign.objects.filter(slug=slug, channel=partner.channel).first()
    if campaign is None:
        raise Invalid("There is no such campaign on your channel.", field="campaign")
    return campaign
