"""Staff's doors on channels, partners and attributions (permission `ops.read`: staff only)."""

from contextlib import AbstractContextManager
from uuid import UUID

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from channels_partners import selectors
from channels_partners.api import ops_serializers as wanted_shapes
from channels_partners.api import serializers as shapes
from channels_partners.models import (
    Attribution,
    AttributionStatus,
    Campaign,
    Channel,
    ChannelSpend,
    Code,
    Link,
    Partner,
    TermsVersion,
)
from channels_partners.services.attributions import attribution_review
from channels_partners.services.channels import campaign_create, channel_ensure, spend_record
from channels_partners.services.enrolment import partner_enrol
from channels_partners.services.links import code_create, link_create
from channels_partners.services.partners import partner_change, terms_publish
from millrace.api.schema import paged
from millrace.api.views import ApiView
from millrace.kernel import ids
from millrace.kernel.errors import Invalid, NotFound
from millrace.kernel.tenancy import platform_scope

_READ = {"GET": "ops.read"}
_READ_WRITE = {"GET": "ops.read", "POST": "ops.read"}


def _platform() -> AbstractContextManager:
    return platform_scope(reason="staff look across tenants")


class Channels(ApiView):
    """All channels."""

    permission = _READ_WRITE

    @paged(wanted_shapes.ChannelSerializer, summary="All channels")
    def get(self, request: Request) -> Response:
        """Newest first."""
        return self.page(Channel.objects.all(), wanted_shapes.ChannelSerializer)

    @extend_schema(
        request=wanted_shapes.ChannelSerializer, responses={201: wanted_shapes.ChannelSerializer},
        summary="Make a channel",
    )  # fmt: skip
    def post(self, request: Request) -> Response:
        """The same slug and kind again answer the same channel."""
        channel = channel_ensure(actor=self.caller.actor, **self.valid(wanted_shapes.ChannelSerializer))
        return Response(wanted_shapes.ChannelSerializer(channel).data, status=201)


class Campaigns(ApiView):
    """All campaigns."""

    permission = _READ_WRITE

    @paged(wanted_shapes.CampaignSerializer, summary="All campaigns")
    def get(self, request: Request) -> Response:
        """Newest first."""
        return self.page(Campaign.objects.select_related("channel"), wanted_shapes.CampaignSerializer)

    @extend_schema(
        request=wanted_shapes.CampaignRequestSerializer, responses={201: wanted_shapes.CampaignSerializer},
        summary="Make a campaign",
    )  # fmt: skip
    def post(self, request: Request) -> Response:
        """On a channel; its click window, if given, overrides the usual 30 days."""
        wanted = self.valid(wanted_shapes.CampaignRequestSerializer)
        wanted["channel"] = channel_of(wanted["channel"])
        campaign = campaign_create(actor=self.caller.actor, **wanted)
        return Response(wanted_shapes.CampaignSerializer(campaign).data, status=201)


class Spends(ApiView):
    """What was spent on channels."""

    permission = _READ_WRITE

    @paged(wanted_shapes.SpendSerializer, summary="What was spent on channels")
    def get(self, request: Request) -> Response:
        """Newest first."""
        return self.page(ChannelSpend.objects.select_related("channel", "campaign"), wanted_shapes.SpendSerializer)

    @extend_schema(
        request=wanted_shapes.SpendRequestSerializer, responses={201: wanted_shapes.SpendSerializer},
        summary="Record spend",
    )  # fmt: skip
    def post(self, request: Request) -> Response:
        """Counted in CAC, in the month of `spent_on`; negative to correct."""
        wanted = self.valid(wanted_shapes.SpendRequestSerializer)
        _on_channel(wanted)
        spend = spend_record(actor=self.caller.actor, **wanted)
        return Response(wanted_shapes.SpendSerializer(spend).data, status=201)


class OpsLinks(ApiView):
    """All links."""

    permission = _READ_WRITE

    @paged(shapes.LinkSerializer, summary="All links, partners' too")
    def get(self, request: Request) -> Response:
        """Newest first."""
        return self.page(Link.objects.select_related("channel", "campaign"), shapes.LinkSerializer)

    @extend_schema(
        request=wanted_shapes.ChannelLinkRequestSerializer, responses={201: shapes.LinkSerializer},
        summary="Make a channel's own link",
    )  # fmt: skip
    def post(self, request: Request) -> Response:
        """Without a partner: it counts for the channel and campaign."""
        wanted = self.valid(wanted_shapes.ChannelLinkRequestSerializer)
        _on_channel(wanted)
        return Response(shapes.LinkSerializer(link_create(actor=self.caller.actor, **wanted)).data, status=201)


class OpsCodes(ApiView):
    """All codes."""

    permission = _READ_WRITE

    @paged(shapes.CodeSerializer, summary="All codes, partners' too")
    def get(self, request: Request) -> Response:
        """Newest first."""
        return self.page(Code.objects.select_related("channel", "campaign"), shapes.CodeSerializer)

    @extend_schema(
        request=wanted_shapes.ChannelCodeRequestSerializer, responses={201: shapes.CodeSerializer},
        summary="Make a channel's own code",
    )  # fmt: skip
    def post(self, request: Request) -> Response:
        """Without a partner: it counts for the channel and campaign."""
        wanted = self.valid(wanted_shapes.ChannelCodeRequestSerializer)
        _on_channel(wanted)
        return Response(shapes.CodeSerializer(code_create(actor=self.caller.actor, **wanted)).data, status=201)


class TermsDoor(ApiView):
    """All versions of commission terms."""

    permission = _READ_WRITE

    @paged(shapes.TermsSerializer, summary="All versions of commission terms")
    def get(self, request: Request) -> Response:
        """Newest first."""
        return self.page(TermsVersion.objects.all(), shapes.TermsSerializer)

    @extend_schema(
        request=wanted_shapes.TermsRequestSerializer, responses={201: shapes.TermsSerializer},
        summary="Publish the next version of commission terms",
    )  # fmt: skip
    def post(self, request: Request) -> Response:
        """Never changed after; customers already bound keep the version of their day."""
        terms = terms_publish(actor=self.caller.actor, **self.valid(wanted_shapes.TermsRequestSerializer))
        return Response(shapes.TermsSerializer(terms).data, status=201)


class Partners(ApiView):
    """All partners."""

    permission = _READ_WRITE

    @paged(shapes.PartnerRowSerializer, summary="All partners")
    def get(self, request: Request) -> Response:
        """Newest first, without balances."""
        return self.page(Partner.objects.select_related("channel", "terms"), shapes.PartnerRowSerializer)

    @extend_schema(
        request=wanted_shapes.PartnerRequestSerializer, responses={201: shapes.PartnerSerializer},
        summary="Take a partner on",
    )  # fmt: skip
    def post(self, request: Request) -> Response:
        """Founds its organisation; the owner, unless a known user, is invited by mail."""
        wanted = self.valid(wanted_shapes.PartnerRequestSerializer)
        wanted["channel"] = channel_of(wanted["channel"])
        _with_terms(wanted)
        partner = partner_enrol(actor=self.caller.actor, **wanted)
        return Response(_partner(partner), status=201)


class PartnerRowDoor(ApiView):
    """One partner."""

    permission = {"GET": "ops.read", "PATCH": "ops.read"}

    @extend_schema(responses=shapes.PartnerSerializer, summary="A partner with its balances")
    def get(self, request: Request, partner_id: str) -> Response:
        """As the partner sees itself."""
        return Response(_partner(_partner_by(partner_id)))

    @extend_schema(
        request=wanted_shapes.PartnerChangeSerializer, responses=shapes.PartnerSerializer, summary="Change a partner"
    )
    def patch(self, request: Request, partner_id: str) -> Response:
        """For the future: what is bound stays as it was."""
        partner, wanted = _partner_by(partner_id), self.valid(wanted_shapes.PartnerChangeSerializer)
        _with_terms(wanted)
        return Response(_partner(partner_change(partner=partner, actor=self.caller.actor, **wanted)))


class Attributions(ApiView):
    """How customers came."""

    permission = _READ

    @paged(
        wanted_shapes.AttributionSerializer, summary="How customers came",
        parameters=[OpenApiParameter("status", str, enum=AttributionStatus.values)],
    )  # fmt: skip
    def get(self, request: Request) -> Response:
        """With `status=held`: those that wait for a decision."""
        status = request.query_params.get("status")
        if status and status not in AttributionStatus.values:
            raise Invalid(f"A status is one of: {', '.join(AttributionStatus.values)}.", field="status")
        with _platform():
            found = selectors.attributions(status=status or "")
            return self.page(found, wanted_shapes.AttributionSerializer)


class Review(ApiView):
    """A decision on one."""

    permission = {"POST": "ops.read"}

    @extend_schema(
        request=wanted_shapes.ReviewSerializer, responses=wanted_shapes.AttributionSerializer,
        summary="Approve or reject a held attribution",
    )  # fmt: skip
    def post(self, request: Request, attribution_id: str) -> Response:
        """Approved, it earns from its first invoice on; rejected, never. 409 `attribution_not_held` otherwise."""
        decision = self.valid(wanted_shapes.ReviewSerializer)["decision"]
        with _platform():
            found = _attribution_by(ids.parse("att", attribution_id))
            attribution_review(attribution=found, decision=decision, actor=self.caller.actor)
            return Response(wanted_shapes.AttributionSerializer(_attribution_by(found.pk)).data)


def _partner(partner: Partner) -> dict:
    context = {"balances": selectors.partner_balances(partner)}
    return shapes.PartnerSerializer(partner, context=context).data


def _partner_by(public_id: str) -> Partner:
    found = Partner.objects.select_related("channel", "terms").filter(pk=ids.parse("ptr", public_id)).first()
    if found is None:
        raise NotFound()
    return found


def _attribution_by(key: UUID) -> Attribution:
    found = selectors.attributions().filter(pk=key).first()
    if found is None:
        raise NotFound()
    return found


def channel_of(slug: str) -> Channel:
    """The channel with that slug; Invalid when there is none."""
    channel = Channel.objects.filter(slug=slug).first()
    if channel is None:
        raise Invalid("There is no such channel.", field="channel")
    return channel


def _on_channel(wanted: dict) -> None:
    wanted["channel"] = channel_of(wanted["channel"])
    if slug := wanted.pop("campaign", ""):
        wanted["campaign"] = Campaign.objects.filter(slug=slug, channel=wanted["channel"]).first()
        if wanted["campaign"] is None:
            raise Invalid("There is no such campaign on the channel.", field="campaign")


def _with_terms(wanted: dict) -> None:
    if "terms" in wanted:
        found = TermsVersion.objects.filter(pk=wanted["terms"]).first()
        if found is None:
            raise Invalid("There are no such terms.", field="terms")
        wanted["terms"] = found
