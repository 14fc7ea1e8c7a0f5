"""This room's coded failures."""

from requests import RequestException

from millrace.api.permissions import TenantSuspended
from millrace.kernel.errors import Conflict, Forbidden, Invalid, Problem

__all__ = [
    "AlreadyMember",
    "HasTenant",
    "InvitationInvalid",
    "LastOwner",
    "MailUnavailable",
    "OwnerNeeded",
    "ProviderUnavailable",
    "ScopeUnknown",
    "TenantStateRefused",
    "TenantSuspended",
]


class LastOwner(Conflict):
    """A tenant keeps at least one owner."""

    code = "last_owner"
    title = "A tenant keeps at least one owner"


class OwnerNeeded(Forbidden):
    """Only an owner makes, changes or removes owners."""

    code = "owner_needed"
    title = "Only an owner may do this"


class HasTenant(Conflict):
    """Only who belongs to no organisation founds one besides signing up."""

    code = "has_tenant"
    title = "You belong to an organisation already"


class AlreadyMember(Conflict):
    """The address belongs to a member of the tenant."""

    code = "already_member"
    title = "That person is a member already"


class MailUnavailable(Problem):
    """The mail server did not take the message; nothing was changed."""

    code, status, title = "mail_unavailable", 503, "Mail cannot be sent just now"


class ProviderUnavailable(Problem, RequestException):
    """The single sign-on's provider does not answer, or not in its language. allauth's callback knows it as a failed
    request."""

    code, status, title = "provider_unavailable", 503, "The log-in service does not answer"


class TenantStateRefused(Conflict):
    """The tenant cannot go from its state to that one."""

    code = "tenant_state"
    title = "Not possible in the tenant's state"


class InvitationInvalid(Conflict):
    """The invitation was used, withdrawn, has expired, or is for somebody else."""

    code = "invitation_invalid"
    title = "The invitation is not valid any more"


class ScopeUnknown(Invalid):
    """An API key's scope that does not exist."""

    code = "scope_unknown"
    title = "There is no such scope"
