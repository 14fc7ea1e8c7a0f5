"""First answers, kept so that a repeated request gets the same one."""

from django.db import models

from millrace.kernel.models.base import Model


class IdempotencyRecord(Model):
    """The answer to one keyed request of one tenant, written in the same transaction as what the request did.

    `tenant` is empty for a caller without one, such as staff; `path` then begins with the caller. `status` is empty
    while a request that talks to other services has the key and no answer yet.
    """

    PREFIX = "idem"

    tenant = models.ForeignKey("accounts.Tenant", on_delete=models.CASCADE, null=True, related_name="+")
    key = models.CharField(max_length=255)
    path = models.CharField(max_length=255)
    body_hash = models.CharField(max_length=64)
    status = models.PositiveSmallIntegerField(null=True)
    body = models.JSONField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["tenant", "path", "key"], nulls_distinct=False, name="one_answer_per_key")
        ]
        indexes = [models.Index(fields=["created_at"], name="idempotency_by_age")]
