"""Tests: a cluster of their own, no doorbell (events are drained by hand), cheap password hashes."""

from millrace.settings import services
from millrace.settings.base import *  # noqa: F403
from millrace.settings.base import VAR

DEBUG = False
SECRET_KEY = "tests"  # noqa: S105
ALLOWED_HOSTS = ["*"]
CLOCK_MOVABLE = True
OUTBOX_DOORBELL = False
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
EMAIL_BACKEND = "accounts.mailbox.DatabaseEmailBackend"
DEFAULT_FROM_EMAIL = "Millrace <hello@millrace.localhost>"
API_RATE_PER_MINUTE = 1_000_000
ANONYMOUS_RATE_PER_MINUTE = 1_000_000
ACCOUNT_RATE_LIMITS = False
globals().update(services.embedded("test", VAR))
