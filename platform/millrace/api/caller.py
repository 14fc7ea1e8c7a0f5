"""Who calls: the answer of authentication, and what views and permissions read."""

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from millrace.kernel.audit import Actor


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

    is_authenticated = True

    @property
    def tenant_id(self) -> UUID | None:
        """The tenant acted for."""
        return self.tenant.pk if self.tenant is not None else None

    @property
    def throttle_key(self) -> str:
        """One budget of requests for each person or key."""
        return str(self.actor)
