"""This room's coded failures."""

from millrace.kernel.errors import Conflict, Forbidden, Invalid


class DestinationInvalid(Invalid):
    """A link may lead to a path of this site only."""

    code = "destination_invalid"
    title = "A link leads to a path of this site"


class CodeTaken(Conflict):
    """A link's or coupon's code is in use."""

    code = "code_taken"
    title = "The code is in use"


class DealTaken(Conflict):
    """Another registered deal covers the same company."""

    code = "deal_taken"
    title = "This company is already registered"


class NotAPartner(Forbidden):
    """The caller's organisation is not set up as an active partner of the needed kind."""

    code = "not_a_partner"
    title = "Your organisation is not set up for this"


class RebateInForce(Conflict):
    """A reseller's rebate stays while subscriptions run whose fees were agreed with it."""

    code = "rebate_in_force"
    title = "The rebate is in force"


class NotHeld(Conflict):
    """Only an attribution that is held can be reviewed."""

    code = "attribution_not_held"
    title = "The attribution is not waiting for a review"


class CurrencyNotInTerms(Invalid):
    """Flat amounts and caps are agreed for each currency; there is none for this one, and none is guessed (C8)."""

    code = "commission_currency_missing"
    title = "The commission terms name no amount in this currency"


class AttributionMissing(Conflict):
    """A customer's invoice came before its attribution was bound; the news is delivered again later."""

    code = "attribution_missing"
    title = "The customer is not attributed yet"


class AlreadyAnswered(Conflict):
    """One answer for each person and month."""

    code = "already_answered"
    title = "You have answered this month"


class ReportUnknown(Invalid):
    """A report, grouping or format that does not exist."""

    code = "report_unknown"
    title = "There is no such report"
