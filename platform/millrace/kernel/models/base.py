"""What every table has: a time-ordered identifier, a public spelling of it, and the business time it was made."""

import pgtrigger
from django.db import models

from millrace.kernel import clock
from millrace.kernel.ids import typeid, uuid7


class Model(models.Model):
    """Base of every table. `PREFIX` is the kind in public identifiers, as in `job_01h4…`."""

    PREFIX = ""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    created_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return self.public_id

    @property
    def public_id(self) -> str:
        """The TypeID that the API, the pages and the logs use."""
        return typeid(self.PREFIX, self.pk)


class TenantModel(Model):
    """Base of a tenant's table. Its migration must guard it with `EnableRowSecurity`; a guard test looks."""

    tenant = models.ForeignKey("accounts.Tenant", on_delete=models.PROTECT, related_name="+")

    class Meta:
        abstract = True


def append_only(*may_change: str) -> list[pgtrigger.Trigger]:
    """Triggers (for `Meta.triggers`) that refuse DELETE, and UPDATE of any column but those named."""
    if not may_change:
        return [pgtrigger.Protect(name="append_only", operation=pgtrigger.Update | pgtrigger.Delete)]
    return [
        pgtrigger.Protect(name="no_delete", operation=pgtrigger.Delete),
        pgtrigger.ReadOnly(name="append_only", exclude=list(may_change)),
    ]
