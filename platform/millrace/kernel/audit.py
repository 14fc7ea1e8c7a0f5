"""The audit log: who did what, written in the transaction of the act."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from millrace.kernel.models import AuditEntry


@dataclass(frozen=True, slots=True)
class Actor:
    """Whoever acts: a person, an API key, or a part of the platform."""

    label: str

    @classmethod
    def user(cls, user: Any) -> "Actor":
        """A person."""
        return cls(f"user:{user.public_id}")

    @classmethod
    def api_key(cls, key: Any) -> "Actor":
        """A program that holds a tenant's API key."""
        return cls(f"api_key:{key.public_id}")

    @classmethod
    def system(cls, part: str) -> "Actor":
        """A part of the platform, such as the reaper or Stripe's webhook."""
        return cls(f"system:{part}")

    def __str__(self) -> str:
        return self.label


def record(
    *, actor: Actor, action: str, target: object, tenant_id: UUID | None = None, data: dict | None = None
) -> AuditEntry:
    """Append one entry, as in `record(actor=…, action="api_key.revoke", target=key, tenant_id=…)`."""
    name = getattr(target, "public_id", str(target))
    return AuditEntry.objects.create(
        actor=actor.label, action=action, target=name, tenant_id=tenant_id, data=data or {}
    )
