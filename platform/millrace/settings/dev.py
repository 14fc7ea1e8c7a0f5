"""A laptop: embedded services where the environment names none, mail that stays on the machine, a movable clock."""

from millrace.settings import env, services
from millrace.settings.base import *  # noqa: F403
from millrace.settings.base import VAR

DEBUG = env.flag("DEBUG", True)
SECRET_KEY = env.text("SECRET_KEY", "development-only-never-in-production")
ALLOWED_HOSTS = ["127.0.0.1", "localhost", "[::1]"]
CLOCK_MOVABLE = True
EMAIL_BACKEND = "accounts.mailbox.DatabaseEmailBackend"
DEFAULT_FROM_EMAIL = "Millrace <hello@millrace.localhost>"
globals().update(services.embedded(env.text("MILLRACE_SERVICES", "dev"), VAR))
