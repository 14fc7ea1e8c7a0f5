"""A laptop: embedded services where the environment names none, mail that stays on the machine, a movable clock."""

from millrace.settings import env, services
from millrace.settings.base import *  # noqa: F403
from millrace.settings.base import STATIC_ROOT, VAR

DEBUG = env.flag("DEBUG", True)
SECRET_KEY = env.text("SECRET_KEY", "development-only-never-in-production")
ALLOWED_HOSTS = ["127.0.0.1", "localhost", "[::1]"]
CLOCK_MOVABLE = True
PASSWORD_HASHERS = ["accounts.hashers.LightArgon2PasswordHasher"]
# In the demo a thousand people share the loopback address.
ACCOUNT_RATE_LIMITS = False
ANONYMOUS_RATE_PER_MINUTE = env.integer("ANONYMOUS_RATE_PER_MINUTE", 1_000_000, minimum=1)
WHITENOISE_USE_FINDERS = True  # static files straight from the rooms: nothing to collect
STATIC_ROOT.mkdir(parents=True, exist_ok=True)
EMAIL_BACKEND = "accounts.mailbox.DatabaseEmailBackend"
DEFAULT_FROM_EMAIL = "Millrace <hello@millrace.localhost>"
globals().update(services.embedded(env.text("MILLRACE_SERVICES", "dev"), VAR))
