"""Mail in development and tests: kept in the database, read at /dev/mail/."""

from collections.abc import Sequence

from django.core.mail import EmailMessage, EmailMultiAlternatives
from django.core.mail.backends.base import BaseEmailBackend

from accounts.models import Mail


class DatabaseEmailBackend(BaseEmailBackend):
    """Keeps every message instead of sending it."""

    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        """Store one row for each recipient; answers how many messages there were."""
        for message in email_messages:
            html = ""
            if isinstance(message, EmailMultiAlternatives):
                html = next((str(part[0]) for part in message.alternatives if part[1] == "text/html"), "")
            for address in message.recipients():
                Mail.objects.create(to=address, subject=str(message.subject), text=str(message.body), html=html)
        return len(email_messages)
