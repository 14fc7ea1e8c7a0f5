"""This room's coded failures."""

from millrace.kernel.errors import Conflict, Invalid, NotFound, PaymentRequired, Problem


class UsageInvalid(Invalid):
    """A usage event that cannot be true. `code` says which of its values is at fault."""

    code = "usage_invalid"
    title = "The usage event is not acceptable"

    def __init__(self, detail: str, *, code: str, field: str) -> None:
        super().__init__(detail, field=field)
        self.code = code


class FeatureNotInPlan(PaymentRequired):
    """The plan does not open this."""

    code = "feature_not_in_plan"
    title = "The plan does not include this"


class QuotaExceeded(PaymentRequired):
    """The plan's quota of the month is used up."""

    code = "quota_exceeded"
    title = "The plan's quota is used up"


class SpendLimitReached(PaymentRequired):
    """Usage, promises and this would go over the tenant's spend limit."""

    code = "spend_limit_reached"
    title = "The spend limit is reached"


class TenantNotServed(PaymentRequired):
    """The tenant is suspended or closed: it may look and pay, nothing else."""

    code = "tenant_not_served"
    title = "The tenant's service is stopped"


class BillingMissing(Conflict):
    """The tenant has no billing: a partner's own organisation, or one that was made a moment ago."""

    code = "billing_missing"
    title = "The tenant has no billing account"


class CurrencyMismatch(Invalid):
    """The amount is in another currency than the billing account's."""

    code = "currency_mismatch"
    title = "Another currency than the billing account's"


class PlanUnknown(NotFound):
    """No such plan or price is for sale to this tenant."""

    code = "plan_unknown"
    title = "There is no such plan"


class PriceInvalid(Invalid):
    """A price's components make no sense."""

    code = "price_invalid"
    title = "The price makes no sense"


class AlreadySubscribed(Conflict):
    """The tenant has a plan: change it instead."""

    code = "already_subscribed"
    title = "The tenant has a subscription already"


class NotSubscribed(Conflict):
    """There is no subscription to change."""

    code = "not_subscribed"
    title = "The tenant has no subscription"


class BilledByReseller(Conflict):
    """A reseller pays for this tenant and manages its plan."""

    code = "billed_by_reseller"
    title = "A reseller pays for this tenant"


class NotRefundable(Conflict):
    """The invoice was not paid, or the refund exceeds what is left of it."""

    code = "not_refundable"
    title = "This cannot be refunded"


class PaymentServiceFailed(Problem):
    """Stripe refused or did not answer; nothing is lost, and the request may be repeated."""

    code, status, title = "payment_service_failed", 502, "The payment service did not carry it out"
