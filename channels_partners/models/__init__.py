"""This room's tables. A partner's rows carry `partner`, not `tenant_id`: they are the platform's, shown to one partner
by selectors. What belongs to a customer (attribution, settled lines, survey answers) is guarded by its tenant."""

from channels_partners.models.attribution import Attribution, AttributionStatus, Precedence
from channels_partners.models.channels import Campaign, Channel, ChannelKind, ChannelSpend
from channels_partners.models.commissions import (
    EXPENSE,
    PAYABLE,
    CommissionEntry,
    EntryKind,
    SettledLine,
    SettlementKind,
)
from channels_partners.models.links import Code, Deal, Link
from channels_partners.models.partners import (
    Partner,
    PartnerKind,
    PartnerStatus,
    TermsDuration,
    TermsKind,
    TermsVersion,
)
from channels_partners.models.surveys import SurveyAnswer, SurveyKind
from channels_partners.models.visits import Click, Visitor

__all__ = [
    "EXPENSE",
    "PAYABLE",
    "Attribution",
    "AttributionStatus",
    "Campaign",
    "Channel",
    "ChannelKind",
    "ChannelSpend",
    "Click",
    "Code",
    "CommissionEntry",
    "Deal",
    "EntryKind",
    "Link",
    "Partner",
    "PartnerKind",
    "PartnerStatus",
    "Precedence",
    "SettledLine",
    "SettlementKind",
    "SurveyAnswer",
    "SurveyKind",
    "TermsDuration",
    "TermsKind",
    "TermsVersion",
    "Visitor",
]
