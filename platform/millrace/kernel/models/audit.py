"""Who did what."""

from django.db import models

from millrace.kernel.models.base import Model, append_only


class AuditEntry(Model):
    """One act of one actor on one thing. Append-only; `tenant` is empty for acts on the platform itself."""

    PREFIX = "aud"

    tenant = models.ForeignKey("accounts.Tenant", on_delete=models.PROTECT, null=True, related_name="+")
    actor = models.CharField(max_length=80)
    action = models.CharField(max_length=64)
    target = models.CharField(max_length=120)
    data = models.JSONField(default=dict)

    class Meta:
        indexes = [models.Index(fields=["tenant", "-id"], name="audit_by_tenant")]
        triggers = append_only()
