"""The kernel's tables, and the base classes of every room's."""

from millrace.kernel.models.audit import AuditEntry
from millrace.kernel.models.base import Model, TenantModel, append_only
from millrace.kernel.models.idempotency import IdempotencyRecord
from millrace.kernel.models.ledger import LedgerEntry, LedgerTransaction
from millrace.kernel.models.outbox import Delivery, OutboxEvent

__all__ = [
    "AuditEntry",
    "Delivery",
    "IdempotencyRecord",
    "LedgerEntry",
    "LedgerTransaction",
    "Model",
    "OutboxEvent",
    "TenantModel",
    "append_only",
]
