"""Who calls: the answer of authentication, and what views and permissions read."""

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from millrace.kernel.audit import Actor
from millrace.kernel.errors import Forbidden


@dataclass(frozen=True, slots=True)
class Caller:
    """A person or a program, acting for one tenant (or for none yet)."""

    actor: Actor
    user: Any = None
    api_key: Any = None
    tenant: Any = None
    role: str = ""
    permissions: frozenset[str] = field(default_factory=frozenset)
    is_staff: bool = False
    # The tenant is not the one that the person acted for until this request: they have left that, or it was closed.
    has_moved: bool = False

    is_authenticated = True

    @property
    def has_tenant(self) -> bool:
        """Whether there is a tenant to act for; a person may belong to none yet."""
        return self.tenant is not None

    @property
    def tenant_id(self) -> UUID:
        """The tenant acted for; Forbidden where there is none, which a permission of a tenant's rules out before."""
        if self.tenant is None:
            raise Forbidden("Choose a tenant first.")
        return self.tenant.pk

    @property
    def throttle_key(self) -> str:
        """One budget of requests for each person or key."""
        return str(self.actor)
