"""Who followed which link: kept on the server, so that no redirect, mail or second device can lose it (C4)."""

from datetime import datetime, timedelta

from django.db import models

from channels_partners.attribution import CLICK_WINDOW
from channels_partners.models.links import Link
from millrace.kernel.models import Model, append_only


class Visitor(Model):
    """A browser, by the id in its signed cookie. `email_hash` (keyed) is set once an address is known for it, so that
    a sign-up from a second device with that address finds these clicks."""

    PREFIX = "vis"

    email_hash = models.CharField(max_length=64, default="", blank=True, db_index=True)


class Click(Model):
    """One counted visit of a link, stored before the redirect. No address or user agent is kept, only keyed hashes."""

    PREFIX = "clk"

    link = models.ForeignKey(Link, on_delete=models.PROTECT, related_name="clicks")
    visitor = models.ForeignKey(Visitor, on_delete=models.PROTECT, related_name="clicks")
    at = models.DateTimeField()
    ip_hash = models.CharField(max_length=64)
    user_agent_hash = models.CharField(max_length=64)
    referer_host = models.CharField(max_length=253, default="", blank=True)

    class Meta:
        indexes = [
            models.Index(fields=["visitor", "-at"], name="click_by_visitor"),
            models.Index(fields=["link", "at"], name="click_by_link"),
        ]
        triggers = append_only()

    @property
    def until(self) -> datetime:
        """Up to when it counts for a sign-up: its campaign's window, or the installation's."""
        campaign = self.link.campaign
        days = campaign.click_window_days if campaign else None
        return self.at + (CLICK_WINDOW if days is None else timedelta(days=days))
