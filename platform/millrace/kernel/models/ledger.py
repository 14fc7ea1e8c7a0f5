"""The double-entry ledger's two tables. `millrace.kernel.ledger` writes them; nothing else may."""

import pgtrigger
from django.db import models

from millrace.kernel.models.base import Model, append_only

# Looks at the rows of one INSERT only, so that no policy can hide half of a transaction from it: whatever is written
# at once must balance, hence everything ever written does.
_BALANCED = """
    IF EXISTS (SELECT 1 FROM written GROUP BY transaction_id, currency HAVING sum(amount) <> 0) THEN
        RAISE EXCEPTION 'ledger entries must sum to zero in each currency' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
"""


class LedgerTransaction(Model):
    """One balanced event. `key` makes posting safe to repeat."""

    PREFIX = "ltx"

    key = models.CharField(max_length=160, unique=True)
    kind = models.CharField(max_length=48)
    occurred_at = models.DateTimeField()
    memo = models.CharField(max_length=200, default="", blank=True)

    class Meta:
        indexes = [models.Index(fields=["kind", "occurred_at"], name="ledger_by_kind")]
        triggers = append_only()


class LedgerEntry(Model):
    """One side of a transaction: a debit is positive, a credit negative, in minor units of `currency`.

    The dimensions (tenant, partner, invoice, line) are what reports group and drill by.
    """

    PREFIX = "lent"

    transaction = models.ForeignKey(LedgerTransaction, on_delete=models.PROTECT, related_name="entries")
    account = models.CharField(max_length=64)
    currency = models.CharField(max_length=3)
    amount = models.BigIntegerField()
    occurred_at = models.DateTimeField()
    tenant = models.ForeignKey("accounts.Tenant", on_delete=models.PROTECT, null=True, related_name="+")
    partner_id = models.UUIDField(null=True)
    invoice_id = models.UUIDField(null=True)
    line_id = models.UUIDField(null=True)

    class Meta:
        constraints = [models.CheckConstraint(condition=~models.Q(amount=0), name="ledger_entry_not_zero")]
        indexes = [
            models.Index(fields=["account", "currency", "occurred_at"], name="ledger_by_account"),
            models.Index(fields=["invoice_id"], name="ledger_by_invoice"),
            models.Index(fields=["partner_id", "account"], name="ledger_by_partner"),
        ]
        triggers = [
            *append_only(),
            pgtrigger.Trigger(
                name="balanced",
                level=pgtrigger.Statement,
                when=pgtrigger.After,
                operation=pgtrigger.Insert,
                referencing=pgtrigger.Referencing(new="written"),
                func=_BALANCED,
            ),
        ]
