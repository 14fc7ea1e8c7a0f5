"""The doors on plans, subscriptions, invoices and entitlements."""

from uuid import UUID

from django.conf import settings
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from billing import selectors
from billing.api import serializers as shapes
from billing.errors import PlanUnknown
from billing.selectors import invoices as invoice_reads
from billing.services.accounts import spend_limit_set
from billing.services.checkout import checkout_session_create, portal_session_create
from billing.services.subscriptions import subscription_cancel, subscription_change, subscription_preview
from millrace.api import idempotency
from millrace.api.caller import Caller
from millrace.api.schema import paged
from millrace.api.views import ApiView


class Plans(ApiView):
    """What is for sale."""

    permission = {"GET": "public"}

    @extend_schema(
        parameters=[shapes.PlansQuerySerializer], responses=shapes.PlansSerializer, summary="Plans and their prices"
    )
    def get(self, request: Request) -> Response:
        """The newest price of each plan, cheapest plan first, in `currency` or the caller's own."""
        currency = self.valid_query(shapes.PlansQuerySerializer).get("currency") or self._currency(request)
        rows = selectors.plans_for_sale(currency)
        return Response({"data": shapes.PriceSerializer(rows, many=True).data})

    def _currency(self, request: Request) -> str:
        if isinstance(request.auth, Caller) and request.auth.has_tenant:
            return selectors.currency_of(request.auth.tenant_id)
        return settings.BILLING_CURRENCY


class CheckoutSessions(ApiView):
    """Subscribing."""

    permission = {"POST": "billing.write"}
    holds_transaction = False  # it talks to Stripe

    @extend_schema(
        request=shapes.CheckoutSerializer,
        responses={201: shapes.CheckoutAnswerSerializer},
        summary="Open Stripe Checkout for a plan",
    )
    def post(self, request: Request) -> Response:
        """Answers with the address of Stripe's page; the subscription exists once the buyer has paid there."""
        wanted = self.valid(shapes.CheckoutSerializer)
        session = checkout_session_create(
            tenant_id=self.caller.tenant_id,
            actor=self.caller.actor,
            plan=wanted.get("plan", ""),
            price_id=wanted.get("price"),
            success_url=wanted.get("success_url", ""),
            cancel_url=wanted.get("cancel_url", ""),
            key=idempotency.key_of(request),
        )
        return Response(shapes.CheckoutAnswerSerializer(session).data, status=201)


class BillingPortalSessions(ApiView):
    """Cards and billing details, at Stripe."""

    permission = {"POST": "billing.write"}
    holds_transaction = False

    @extend_schema(
        request=shapes.PortalSessionSerializer,
        responses={201: shapes.UrlSerializer},
        summary="Open Stripe's billing portal",
    )
    def post(self, request: Request) -> Response:
        """Answers with the address of Stripe's page."""
        wanted = self.valid(shapes.PortalSessionSerializer)
        url = portal_session_create(
            tenant_id=self.caller.tenant_id, actor=self.caller.actor, return_url=wanted.get("return_url", "")
        )
        return Response({"url": url}, status=201)


class SubscriptionDoor(ApiView):
    """The tenant's subscription."""

    permission = {"GET": "billing.read", "PATCH": "billing.write"}

    @extend_schema(responses=shapes.SubscriptionAnswerSerializer, summary="The tenant's subscription")
    def get(self, request: Request) -> Response:
        """Null on the free plan."""
        return _subscription(selectors.live_subscription(self.caller.tenant_id))

    @extend_schema(
        request=shapes.SubscriptionChangeSerializer,
        responses=shapes.SubscriptionAnswerSerializer,
        summary="Change the plan, preview a change, or end it with its period",
    )
    def patch(self, request: Request) -> Response:
        """A dearer plan holds at once, a cheaper one from the next period on; nothing is credited."""
        wanted = self.valid(shapes.SubscriptionChangeSerializer)
        tenant_id, actor = self.caller.tenant_id, self.caller.actor
        if "cancel_at_period_end" in wanted:
            ends = wanted["cancel_at_period_end"]
            return _subscription(subscription_cancel(tenant_id=tenant_id, actor=actor, at_period_end=ends))
        price_id = wanted.get("price") or _price_of_plan(tenant_id, wanted["plan"])
        if wanted["preview"]:
            preview = subscription_preview(tenant_id=tenant_id, price_id=price_id)
            return _subscription(selectors.live_subscription(tenant_id), preview)
        return _subscription(subscription_change(tenant_id=tenant_id, price_id=price_id, actor=actor))


class Invoices(ApiView):
    """The tenant's invoices."""

    permission = {"GET": "billing.read"}

    @paged(shapes.InvoiceSerializer, summary="The tenant's invoices")
    def get(self, request: Request) -> Response:
        """Newest first; drafts too."""
        return self.page(invoice_reads.invoices(self.caller.tenant_id), shapes.InvoiceSerializer)


class InvoiceDoor(ApiView):
    """One of them."""

    permission = {"GET": "billing.read"}

    @extend_schema(responses=shapes.InvoiceSerializer, summary="One invoice")
    def get(self, request: Request, invoice_id: str) -> Response:
        """Its amounts and where to pay or print it."""
        found = invoice_reads.invoice(self.caller.tenant_id, invoice_id)
        return Response(shapes.InvoiceSerializer(found).data)


class InvoiceLines(ApiView):
    """What it is made of."""

    permission = {"GET": "billing.read"}

    @paged(shapes.InvoiceLineSerializer, summary="An invoice's lines")
    def get(self, request: Request, invoice_id: str) -> Response:
        """Each with how its amount was reached."""
        found = invoice_reads.invoice(self.caller.tenant_id, invoice_id)
        rows = invoice_reads.invoice_lines(self.caller.tenant_id, found.pk)
        return self.page(rows, shapes.InvoiceLineSerializer)


class Entitlements(ApiView):
    """What the tenant may do."""

    permission = {"GET": "usage.read"}

    @extend_schema(responses=shapes.EntitlementsSerializer, summary="Plan, quotas, usage and spend at this moment")
    def get(self, request: Request) -> Response:
        """Quotas bind on the free plan only; `used` is what stands on no invoice yet."""
        return Response(shapes.EntitlementsSerializer(selectors.entitlements(self.caller.tenant_id)).data)


class SpendLimit(ApiView):
    """How much usage may come to."""

    permission = {"PUT": "billing.write"}

    @extend_schema(
        request=shapes.SpendLimitSerializer, responses=shapes.SpendLimitSerializer, summary="Set the spend limit"
    )
    def put(self, request: Request) -> Response:
        """New work that would go over it is refused (402 `spend_limit_reached`); running work is not stopped by it."""
        limit = self.valid(shapes.SpendLimitSerializer)["limit"]
        selectors.billing_of(self.caller.tenant_id)
        spend_limit_set(tenant_id=self.caller.tenant_id, limit=limit, actor=self.caller.actor)
        return Response({"limit": limit.as_json() if limit else None})


def _subscription(found: object, preview: object = None) -> Response:
    return Response(shapes.SubscriptionAnswerSerializer({"subscription": found, "preview": preview}).data)


def _price_of_plan(tenant_id: UUID, code: str) -> UUID:
    price = selectors.plan_price(code, selectors.currency_of(tenant_id))
    if price is None:
        raise PlanUnknown(f"There is no plan {code!r} for sale.", field="plan")
    return price.pk
