"""Settings that hold everywhere. What differs by place (addresses, secrets, debug) is in dev, test and production."""

from pathlib import Path

from millrace.settings import env, single_sign_on

ROOT = Path(__file__).resolve().parents[3]
VAR = Path(env.text("MILLRACE_VAR", ROOT / "var")).resolve()

# Set by millrace.settings.services in every settings module that has an environment; declared for the type checker.
VALKEY_URL: str
STORAGE_URL: str
STRIPE_SECRET_KEY: str
STRIPE_WEBHOOK_SECRET: str
STRIPE_API_BASE: str

INSTALLED_APPS = [
    "millrace.kernel",
    "millrace.api",
    "millrace.portal",
    "accounts",
    "billing",
    "mlops",
    "channels_partners",
    "millrace.story",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.sites",
    "django.contrib.humanize",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.openid_connect",
    "allauth.headless",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_htmx",
    "pgtrigger",
    "django_prometheus",
]

MIDDLEWARE = [
    "django_prometheus.middleware.PrometheusBeforeMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "accounts.middleware.TenantMiddleware",
    "millrace.portal.middleware.ContentSecurityPolicy",
    "django_prometheus.middleware.PrometheusAfterMiddleware",
]

ROOT_URLCONF = "millrace.urls"
WSGI_APPLICATION = "millrace.wsgi.application"
ASGI_APPLICATION = "millrace.asgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "millrace.portal.context.portal",
                "accounts.portal.context.places",
            ]
        },
    }
]

DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
AUTH_USER_MODEL = "accounts.User"
LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = True

CSRF_FAILURE_VIEW = "millrace.portal.errors.csrf_failure"
# Where a page's form may lead besides this site: the payment service's own pages, and the single sign-on's.
FORM_TARGETS = ["https://checkout.stripe.com", "https://billing.stripe.com", *single_sign_on.origins()]

STATIC_URL = "/static/"
STATIC_ROOT = VAR / "static"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}

PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
]
AUTHENTICATION_BACKENDS = ["allauth.account.auth_backends.AuthenticationBackend"]

SITE_ID = 1
LOGIN_URL = "/accounts/login/"
LOGIN_REDIRECT_URL = "/"
ACCOUNT_ADAPTER = "accounts.adapter.AccountAdapter"
ACCOUNT_FORMS = {"signup": "accounts.forms.SignUpForm"}
ACCOUNT_SIGNUP_FORM_CLASS = "accounts.signup.SignUpFields"
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*"]
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_EMAIL_VERIFICATION = "mandatory"
ACCOUNT_CONFIRM_EMAIL_ON_GET = False  # mail scanners open links, and would prove anybody's address for a stranger
ACCOUNT_LOGIN_ON_EMAIL_CONFIRMATION = True
ACCOUNT_PREVENT_ENUMERATION = True
ACCOUNT_EMAIL_SUBJECT_PREFIX = ""
SOCIALACCOUNT_ADAPTER = "accounts.sign_on.SocialAccountAdapter"
SOCIALACCOUNT_FORMS = {"signup": "accounts.forms.SingleSignUpForm"}
SOCIALACCOUNT_AUTO_SIGNUP = False  # the provider knows a person; which organisation they found, only they do
SOCIALACCOUNT_PROVIDERS = single_sign_on.providers()
MFA_ADAPTER = "accounts.adapter.MFAAdapter"
MFA_SUPPORTED_TYPES = ["totp", "recovery_codes"]
MFA_TOTP_ISSUER = "Millrace"

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "accounts.api.authentication.ApiKeyAuthentication",
        "accounts.api.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["millrace.api.permissions.HasPermission"],
    "DEFAULT_PARSER_CLASSES": ["millrace.api.parsers.StrictJSONParser"],
    "DEFAULT_RENDERER_CLASSES": ["millrace.api.renderers.JSONRenderer"],
    "DEFAULT_THROTTLE_CLASSES": ["millrace.api.throttling.CallerThrottle"],
    "DEFAULT_METADATA_CLASS": None,  # OPTIONS answers 405: the OpenAPI document describes the doors
    "DEFAULT_SCHEMA_CLASS": "millrace.api.schema.Schema",
    "EXCEPTION_HANDLER": "millrace.api.problems.exception_handler",
    "UNAUTHENTICATED_USER": None,
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Millrace API",
    "VERSION": "1",
    "OAS_VERSION": "3.1.0",
    "DESCRIPTION": "Tenants, GPU jobs, usage billing and partner channels. Every page of the portal uses these doors.",
    "SERVE_INCLUDE_SCHEMA": False,
    "SCHEMA_PATH_PREFIX": "/v1",
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "COMPONENT_SPLIT_REQUEST": True,
    "POSTPROCESSING_HOOKS": ["millrace.api.schema.add_problem_responses"],
    "ENUM_GENERATE_CHOICE_DESCRIPTION": False,
}
API_RATE_PER_MINUTE = env.integer("API_RATE_PER_MINUTE", 6000, minimum=1)
ANONYMOUS_RATE_PER_MINUTE = env.integer("ANONYMOUS_RATE_PER_MINUTE", 600, minimum=1)
# Only these proxies may name the client in X-Forwarded-For; everyone else's header is ignored (T9).
TRUSTED_PROXIES = env.networks("TRUSTED_PROXIES")
DATA_UPLOAD_MAX_MEMORY_SIZE = 8 * 1024 * 1024
UPLOAD_MAX_BYTES = env.integer("UPLOAD_MAX_BYTES", 256 * 1024 * 1024, minimum=1024)
# The currency of a billing account whose owner named none.
BILLING_CURRENCY = env.text("BILLING_CURRENCY", "CNY")
# How long a worker holds a job without a sign of life.
JOB_LEASE_SECONDS = env.integer("JOB_LEASE_SECONDS", 30, minimum=1)
# How often a job saves where it stands; the most that a lost worker can lose.
JOB_CHECKPOINT_SECONDS = env.integer("JOB_CHECKPOINT_SECONDS", 30, minimum=1)
# The memory a job may take, in bytes; 0 gives it seven eighths of the machine's.
JOB_MEMORY_BYTES = env.integer("JOB_MEMORY_BYTES", 0)
# Who a job's process becomes where the worker runs as root: a user without rights, by default nobody.
JOB_USER = env.integer("MILLRACE_JOB_UID", 65534, minimum=1)
# What is deleted, and when; millrace.celery says how often that is looked for.
# An Idempotency-Key answers as it did the first time for this long; after that it is a new request's.
IDEMPOTENCY_KEEP_DAYS = env.integer("IDEMPOTENCY_KEEP_DAYS", 30, minimum=1)
# News between the rooms is kept this long after everybody has heard it, for whoever looks into what happened.
OUTBOX_KEEP_DAYS = env.integer("OUTBOX_KEEP_DAYS", 30, minimum=1)
# A job that ended this long ago has no checkpoints any more: resumed, it begins again.
CHECKPOINT_KEEP_DAYS = env.integer("CHECKPOINT_KEEP_DAYS", 7, minimum=1)
PUBLIC_BASE_URL = env.text("PUBLIC_BASE_URL", "http://127.0.0.1:8000")

# The business clock may be moved only where this is on (development, tests, the demo).
CLOCK_MOVABLE = False
# Whether a committed event rings the Celery doorbell; tests drain the outbox by hand.
OUTBOX_DOORBELL = True

CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None  # for ever
# An answer such as a fail-over's "read only" is a bad connection, too, and no reason to end.
CELERY_BROKER_CHANNEL_ERROR_RETRY = True
# A broker that vanished without a word is noticed: nothing waits for ever, and a consumer asks after 5 seconds.
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "socket_connect_timeout": 5,
    "socket_timeout": 5,
    "socket_keepalive": True,
    "health_check_interval": 5,
}
CELERY_TASK_DEFAULT_QUEUE = "platform"
CELERY_TIMEZONE = "UTC"

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"plain": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "plain"}},
    "root": {"handlers": ["console"], "level": env.text("LOG_LEVEL", "INFO")},
    "loggers": {"httpx": {"level": "WARNING"}, "stripe": {"level": "WARNING"}},
}
