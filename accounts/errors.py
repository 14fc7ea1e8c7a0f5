"""This room's coded failures."""

from millrace.kernel.errors import Conflict, Forbidden, Invalid


class LastOwner(Conflict):
    """A tenant keeps at least one owner."""

    code = "last_owner"
    title = "A tenant keeps at least one owner"


class TenantSuspended(Forbidden):
    """The tenant may look at what it has and pay; nothing else."""

    code = "tenant_suspended"
    title = "The tenant is suspended"


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
