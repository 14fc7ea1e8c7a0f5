"""Currencies without decimals, and with three, whose last digit the payment service takes as nought only."""

from datetime import timedelta
from decimal import Decimal

import pytest

from accounts.models import Tenant
from billing.errors import NotRefundable, PriceInvalid
from billing.models import BillingAccount, PriceVersion
from billing.services.catalogue import plan_create, price_version_publish
from billing.services.refunds import refund_create
from billing.services.subscriptions import subscription_change, subscription_preview
from millrace.kernel import ledger
from millrace.kernel.money import Money
from millrace.kernel.tenancy import platform_scope
from tests.billing.factories import make_billing
from tests.billing.stripe_world import World
from tests.billing.test_cycles import as_tenant, differences, lines
from tests.billing.test_flow import RENEWAL, START, use
from tests.factories import SYSTEM


def publish(code: str, currency: str, fee: int, rank: int = 0) -> PriceVersion:
    with platform_scope(reason="test"):
        plan = plan_create(code=code, name=code, actor=SYSTEM, rank=rank)
        components = [{"kind": "per_unit", "meter": "gpu_ms", "unit_price": "0.00333"}]
        return price_version_publish(
            plan=plan, currency=currency, actor=SYSTEM, recurring_amount=fee, components=components
        )


@pytest.mark.parametrize(
    ("currency", "usage", "charge", "tax", "refund"),
    # 3,600,001 ms at 0.00333 are 11,988.00333; 24 of 31 days of 4,560 less those of 1,230 are 3,530 − 952; a tenth of
    # 4,560 + 2,578 + 11,988 is 1,912.6.
    [("JPY", 11_988, 2_578, 1_913, 777), ("KWD", 11_990, 2_580, 1_910, 770)],
)
def test_a_month_in_a_currency_without_two_decimals(
    world: World, tenant: Tenant, currency: str, usage: int, charge: int, tax: int, refund: int
) -> None:
    publish("small", currency, 1_230)
    dearer = publish("big", currency, 4_560, rank=1)
    make_billing(tenant)
    BillingAccount.objects.update(currency=currency)
    world.account(tenant, tax_percent=Decimal(10))
    world.subscribe(tenant, "small")
    use(tenant, "gpu_ms", 3_600_001, START + timedelta(days=3))
    world.advance(START + timedelta(days=7))
    preview = as_tenant(world, tenant, subscription_preview, price_id=dearer.pk)
    as_tenant(world, tenant, subscription_change, price_id=dearer.pk, actor=SYSTEM)
    world.advance(RENEWAL)

    second = world.invoices(tenant)[1]
    assert preview.charge == Money(charge, currency)
    assert lines(second) == {"subscription": 4_560, "proration": charge, "gpu_ms": usage}
    assert (second.status, second.tax, second.total) == ("paid", tax, 4_560 + charge + usage + tax)
    refund_create(invoice_id=second.pk, amount=refund, actor=SYSTEM, reason="goodwill")
    world.deliver()
    with platform_scope(reason="test"):
        paid = sum(invoice.total for invoice in world.invoices(tenant))
        assert ledger.balance("stripe:clearing", currency) == paid - refund
    assert world.unhandled() == []
    assert differences() == []


def test_what_cannot_be_charged_is_neither_published_nor_refunded(world: World, tenant: Tenant) -> None:
    with pytest.raises(PriceInvalid, match="multiples of KWD"):
        publish("odd", "KWD", 1_234)
    publish("even", "KWD", 1_230)
    make_billing(tenant)
    BillingAccount.objects.update(currency="KWD")
    world.account(tenant)
    world.subscribe(tenant, "even")

    with pytest.raises(NotRefundable, match="multiples of KWD"):
        refund_create(invoice_id=world.invoices(tenant)[0].pk, amount=125, actor=SYSTEM, reason="x")
