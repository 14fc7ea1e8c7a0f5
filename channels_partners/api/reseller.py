"""What a reseller does for its customers (permission `reseller.*`, organisations of kind reseller)."""

from drf_spectacular.utils import extend_schema, extend_schema_field, inline_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import Tenant
from billing.api.serializers import CheckoutAnswerSerializer, CheckoutSerializer
from billing.models import Invoice
from billing.selectors import plans_for_sale, usage_by
from billing.services.checkout import checkout_session_create
from billing.stripe.catalogue import fee_of
from channels_partners import selectors
from channels_partners.api import serializers as shapes
from channels_partners.models import Partner
from channels_partners.reports.params import parse
from channels_partners.services import resellers
from millrace.api import idempotency
from millrace.api.fields import MoneyField, Serializer, TypeIdField
from millrace.api.schema import paged
from millrace.api.views import ApiView
from millrace.kernel import ids
from millrace.kernel.money import Money
from millrace.kernel.tenancy import platform_scope, tenant_scope


class ResellerView(ApiView):
    """Base: the caller's organisation as a reseller, and its customers."""

    @property
    def reseller(self) -> Partner:
        """NotAPartner (403) for an organisation that is no reseller or, to change anything, no active one."""
        return selectors.reseller_of(self.caller.tenant_id, to_write=self.request.method != "GET")

    def customer(self, tenant_id: str) -> Tenant:
        """One of the reseller's customers; NotFound for anybody else's."""
        reseller = self.reseller
        with platform_scope(reason="a reseller's customers are other tenants"):
            return selectors.reseller_tenant(reseller, ids.parse("ten", tenant_id))


class Tenants(ResellerView):
    """The reseller's customers."""

    permission = {"GET": "reseller.read", "POST": "reseller.write"}

    @paged(shapes.ResellerTenantSerializer, summary="The reseller's customers")
    def get(self, request: Request) -> Response:
        """Newest first."""
        reseller = self.reseller
        with platform_scope(reason="a reseller's customers are other tenants"):
            return self.page(selectors.reseller_tenants(reseller), shapes.ResellerTenantSerializer)

    @extend_schema(
        request=shapes.ResellerTenantRequestSerializer, responses={201: shapes.ResellerTenantSerializer},
        summary="Found a customer",
    )  # fmt: skip
    def post(self, request: Request) -> Response:
        """The reseller pays for it; with `owner_email`, its owner is invited by mail."""
        reseller, wanted = self.reseller, self.valid(shapes.ResellerTenantRequestSerializer)
        tenant = resellers.reseller_tenant_create(partner=reseller, actor=self.caller.actor, **wanted)
        return Response(shapes.ResellerTenantSerializer(tenant).data, status=201)


class TenantDoor(ResellerView):
    """One of them."""

    permission = {"GET": "reseller.read"}

    @extend_schema(responses=shapes.ResellerTenantSerializer, summary="A customer")
    def get(self, request: Request, tenant_id: str) -> Response:
        """Its name and state; its data stays its own."""
        return Response(shapes.ResellerTenantSerializer(self.customer(tenant_id)).data)


class Suspend(ResellerView):
    """Stop one."""

    permission = {"POST": "reseller.write"}

    @extend_schema(request=None, responses=shapes.ResellerTenantSerializer, summary="Suspend a customer")
    def post(self, request: Request, tenant_id: str) -> Response:
        """It may look, and use nothing, until it is resumed."""
        tenant = resellers.reseller_tenant_suspend(tenant=self.customer(tenant_id), actor=self.caller.actor)
        return Response(shapes.ResellerTenantSerializer(tenant).data)


class Resume(ResellerView):
    """Let one go on."""

    permission = {"POST": "reseller.write"}

    @extend_schema(request=None, responses=shapes.ResellerTenantSerializer, summary="Resume a customer")
    def post(self, request: Request, tenant_id: str) -> Response:
        """As it was before, or as its subscription stands; 409 `tenant_state` where it was not the reseller's doing."""
        tenant = resellers.reseller_tenant_resume(tenant=self.customer(tenant_id), actor=self.caller.actor)
        return Response(shapes.ResellerTenantSerializer(tenant).data)


class Checkout(ResellerView):
    """Buy a plan for one: the reseller pays."""

    permission = {"POST": "reseller.write"}
    holds_transaction = False  # it talks to Stripe

    @extend_schema(
        request=CheckoutSerializer, responses={201: CheckoutAnswerSerializer}, summary="Open Checkout for a customer"
    )
    def post(self, request: Request, tenant_id: str) -> Response:
        """The address of Stripe's page, on the reseller's account and at its prices."""
        tenant, wanted = self.customer(tenant_id), self.valid(CheckoutSerializer)
        with tenant_scope(tenant.pk):
            session = checkout_session_create(
                tenant_id=tenant.pk,
                actor=self.caller.actor,
                plan=wanted.get("plan", ""),
                price_id=wanted.get("price"),
                success_url=wanted.get("success_url", ""),
                cancel_url=wanted.get("cancel_url", ""),
                key=idempotency.key_of(request),
                by_payer=True,
            )
        return Response(CheckoutAnswerSerializer(session).data, status=201)


class ResellerUsageRowSerializer(Serializer):
    """The quantity of one meter, of one day where asked for by day."""

    meter = serializers.CharField()
    day = serializers.DateField(required=False)
    quantity = serializers.IntegerField(source="total")
    billed = serializers.IntegerField(help_text="What of it stands on an invoice.")
    events = serializers.IntegerField()


class Usage(ResellerView):
    """What one used."""

    permission = {"GET": "reseller.read"}

    @extend_schema(
        responses=inline_serializer(
            "ResellerUsage",
            {"data": ResellerUsageRowSerializer(many=True), "next_cursor": serializers.CharField(allow_null=True)},
        ),
        summary="A customer's usage by meter",
    )
    def get(self, request: Request, tenant_id: str) -> Response:
        """`?from=&to=&by=meter|day`, by default this month until now."""
        tenant = self.customer(tenant_id)
        params = parse(request.query_params, groupings=("meter", "day"))
        with tenant_scope(tenant.pk):
            rows = list(usage_by(tenant.pk, params.by, params.start, params.end))
        return Response({"data": ResellerUsageRowSerializer(rows, many=True).data, "next_cursor": None})


class SpendLimit(ResellerView):
    """How much one may spend."""

    permission = {"GET": "reseller.read", "PUT": "reseller.write"}

    @extend_schema(responses=shapes.CustomerSpendLimitSerializer, summary="A customer's spend limit")
    def get(self, request: Request, tenant_id: str) -> Response:
        """Null: none."""
        limit = resellers.reseller_spend_limit(tenant_id=self.customer(tenant_id).pk)
        return Response({"limit": limit.as_json() if limit else None})

    @extend_schema(
        request=shapes.CustomerSpendLimitSerializer,
        responses=shapes.CustomerSpendLimitSerializer,
        summary="Set a customer's limit",
    )
    def put(self, request: Request, tenant_id: str) -> Response:
        """What its usage may come to in a billing period; null lifts it."""
        tenant, wanted = self.customer(tenant_id), self.valid(shapes.CustomerSpendLimitSerializer)
        limit = resellers.reseller_spend_limit_set(tenant_id=tenant.pk, limit=wanted["limit"], actor=self.caller.actor)
        return Response({"limit": limit.as_json() if limit else None})


class ResellerInvoiceSerializer(Serializer):
    """An invoice of a customer, paid by the reseller."""

    id = TypeIdField("ivc", source="pk")
    tenant = TypeIdField("ten", source="tenant_id")
    number = serializers.CharField()
    status = serializers.CharField()
    total = serializers.SerializerMethodField()
    period_start = serializers.DateTimeField()
    period_end = serializers.DateTimeField()
    paid_at = serializers.DateTimeField(allow_null=True)

    @extend_schema_field(MoneyField())
    def get_total(self, invoice: Invoice) -> dict:
        """Tax included."""
        return Money(invoice.total, invoice.currency).as_json()


class Invoices(ResellerView):
    """What the reseller pays for its customers."""

    permission = {"GET": "reseller.read"}

    @paged(ResellerInvoiceSerializer, summary="Invoices of the reseller's customers")
    def get(self, request: Request) -> Response:
        """Newest first."""
        reseller = self.reseller
        with platform_scope(reason="a reseller's customers are other tenants"):
            found = Invoice.objects.filter(billing_account__owner_tenant_id=reseller.organisation_id)
            return self.page(found, ResellerInvoiceSerializer)


class ResellerPriceSerializer(Serializer):
    """A plan's fee, at list price and as the reseller pays it."""

    plan = serializers.CharField()
    name = serializers.CharField()
    interval = serializers.CharField()
    list_price = MoneyField()
    wholesale_price = MoneyField()
    discount_percent = serializers.DecimalField(max_digits=5, decimal_places=2)


class Prices(ResellerView):
    """What the reseller pays."""

    permission = {"GET": "reseller.read"}

    @extend_schema(
        responses=inline_serializer(
            "ResellerPricePage",
            {"data": ResellerPriceSerializer(many=True), "next_cursor": serializers.CharField(allow_null=True)},
        ),
        summary="List and wholesale prices",
    )
    def get(self, request: Request) -> Response:
        """In the reseller's billing currency; the same rebate is off every price of usage."""
        reseller = self.reseller
        rows = [
            {
                "plan": price.plan.code,
                "name": price.plan.name,
                "interval": price.interval,
                "list_price": Money(price.recurring_amount, price.currency),
                "wholesale_price": Money(fee_of(price, reseller.discount_percent), price.currency),
                "discount_percent": reseller.discount_percent,
            }
            for price in plans_for_sale(resellers.reseller_currency(partner=reseller))
        ]
        return Response({"data": ResellerPriceSerializer(rows, many=True).data, "next_cursor": None})
