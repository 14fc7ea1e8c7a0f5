"""Who pays: billing accounts, and which of them pays for a tenant."""

from decimal import Decimal

from django.db import models

from millrace.kernel.models import Model, TenantModel


class BillingAccount(Model):
    """A payer: a tenant for itself, or a reseller's organisation for its customers.

    It mirrors one customer at Stripe. `owner_tenant` is who pays, not whose data it is: the table has no tenant_id and
    is read through `TenantBilling`, which row-level security guards.
    """

    PREFIX = "bac"

    owner_tenant = models.OneToOneField("accounts.Tenant", on_delete=models.PROTECT, related_name="+")
    email = models.EmailField(blank=True, default="")
    currency = models.CharField(max_length=3)
    tax_country = models.CharField(max_length=2, blank=True, default="")
    # Percent of the net, added on top; computed and rounded once an invoice.
    tax_percent = models.DecimalField(max_digits=7, decimal_places=4, default=Decimal(0))
    stripe_tax_rate_id = models.CharField(max_length=64, blank=True, default="")
    time_zone = models.CharField(max_length=64, default="UTC")
    # A test clock of Stripe's, one an account, so that tests and the demo need no global one (M11).
    clock = models.CharField(max_length=64, blank=True, default="")
    stripe_customer_id = models.CharField(max_length=64, null=True, unique=True)  # noqa: DJ001 - unique when known
    # A reseller's wholesale rebate: off the list price of fees and usage.
    discount_percent = models.DecimalField(max_digits=6, decimal_places=3, default=Decimal(0))

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(discount_percent__gte=0, discount_percent__lt=100), name="discount_is_a_percentage"
            ),
            models.CheckConstraint(condition=models.Q(tax_percent__gte=0), name="tax_is_not_negative"),
        ]


class TenantBilling(TenantModel):
    """Which account pays for a tenant, and how much it may spend in a period. Its row is the lock of spending."""

    PREFIX = "tbl"

    billing_account = models.ForeignKey(BillingAccount, on_delete=models.PROTECT, related_name="tenants")
    # Minor units of the account's currency a billing period; none means no limit.
    spend_limit = models.BigIntegerField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["tenant"], name="one_payer_per_tenant"),
            models.CheckConstraint(
                condition=models.Q(spend_limit__isnull=True) | models.Q(spend_limit__gte=0),
                name="spend_limit_is_not_negative",
            ),
        ]


class Reservation(TenantModel):
    """Money (and, on a plan with quotas, quantity) held for work that was promised and not metered yet."""

    PREFIX = "rsv"

    key = models.CharField(max_length=160)
    amount = models.BigIntegerField()
    currency = models.CharField(max_length=3)
    meter = models.CharField(max_length=80, blank=True, default="")
    quantity = models.BigIntegerField(default=0)
    expires_at = models.DateTimeField()
    released_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["tenant", "key"], name="one_reservation_per_key"),
            models.CheckConstraint(
                condition=models.Q(amount__gte=0, quantity__gte=0), name="reservation_is_not_negative"
            ),
        ]
        indexes = [
            models.Index(
                fields=["tenant", "expires_at"],
                name="open_reservations",
                condition=models.Q(released_at__isnull=True),
            )
        ]
