"""Three ways to attribute: a link, a code, a registered deal."""

from django.db import models
from django.db.models.functions import Lower, Upper

from channels_partners.models.channels import Campaign, Channel
from channels_partners.models.partners import Partner
from millrace.kernel.models import Model


class Link(Model):
    """`/r/<code>`: leads to a path of this site and remembers who came. A channel's own links have no partner."""

    PREFIX = "lnk"

    code = models.CharField(max_length=40, unique=True)
    name = models.CharField(max_length=120, default="", blank=True)
    destination = models.CharField(max_length=300)
    channel = models.ForeignKey(Channel, on_delete=models.PROTECT, related_name="links")
    partner = models.ForeignKey(Partner, on_delete=models.PROTECT, null=True, related_name="links")
    campaign = models.ForeignKey(Campaign, on_delete=models.PROTECT, null=True, related_name="links")
    disabled_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [models.CheckConstraint(condition=models.Q(code=Lower("code")), name="link_code_is_lower_case")]


class Code(Model):
    """A coupon or partner code, typed at sign-up; stored in capitals, matched in any case."""

    PREFIX = "cpn"

    code = models.CharField(max_length=40, unique=True)
    channel = models.ForeignKey(Channel, on_delete=models.PROTECT, related_name="codes")
    partner = models.ForeignKey(Partner, on_delete=models.PROTECT, null=True, related_name="codes")
    campaign = models.ForeignKey(Campaign, on_delete=models.PROTECT, null=True, related_name="codes")
    expires_at = models.DateTimeField(null=True)
    disabled_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [models.CheckConstraint(condition=models.Q(code=Upper("code")), name="code_is_in_capitals")]


class Deal(Model):
    """A sale that a partner has announced: whoever signs up with that domain or address before it expires is theirs.

    `email` is empty for a whole domain. Two partners cannot hold the same domain or address at one time.
    """

    PREFIX = "deal"

    partner = models.ForeignKey(Partner, on_delete=models.PROTECT, related_name="deals")
    company = models.CharField(max_length=120)
    domain = models.CharField(max_length=253)
    email = models.EmailField(default="", blank=True)
    expires_at = models.DateTimeField()
    withdrawn_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [models.Index(fields=["domain", "expires_at"], name="deal_by_domain")]
