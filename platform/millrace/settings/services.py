"""The addresses of PostgreSQL, Valkey, Stripe and storage, as settings: from the environment, or embedded."""

from pathlib import Path

from millrace.settings import env


def from_environment() -> dict:
    """Settings for services that the environment names; a missing one is refused."""
    valkey = env.secret("VALKEY_URL" if env.text("VALKEY_URL", "") or not env.text("REDIS_URL", "") else "REDIS_URL")
    databases = {"default": _pooled(env.database(env.secret("DATABASE_URL")))}
    if env.text("DATABASE_OWNER_URL", ""):
        databases["owner"] = env.database(env.secret("DATABASE_OWNER_URL"))
    return {
        "DATABASES": databases,
        "VALKEY_URL": valkey,
        "CACHES": _caches(valkey),
        "CELERY_BROKER_URL": valkey,
        "STRIPE_SECRET_KEY": env.secret("STRIPE_SECRET_KEY"),
        "STRIPE_WEBHOOK_SECRET": env.secret("STRIPE_WEBHOOK_SECRET"),
        "STRIPE_API_BASE": env.text("STRIPE_API_BASE", "https://api.stripe.com"),
        "STORAGE_URL": env.text("STORAGE_URL"),
    }


def embedded(kind: str, var: Path) -> dict:
    """Settings for the embedded services of `kind` (dev, demo, test …), each replaced by the environment's own
    address where one is set."""
    owner_url = env.text("DATABASE_OWNER_URL", "")
    app_url = env.text("DATABASE_URL", "")
    valkey_url = env.text("VALKEY_URL", env.text("REDIS_URL", ""))
    stripe_base = env.text("STRIPE_API_BASE", "")
    webhook_secret = env.text("STRIPE_WEBHOOK_SECRET", "")
    if not (app_url and valkey_url):
        from millrace.embedded import services_for  # only where the environment names no service

        found = services_for(kind)
        owner_url = owner_url or found.database_url_owner
        app_url = app_url or found.database_url
        valkey_url = valkey_url or found.valkey_url
        stripe_base = stripe_base or found.stripe_base
        webhook_secret = webhook_secret or found.stripe_webhook_secret
    databases = {"default": _pooled(env.database(app_url))}
    if owner_url:
        databases["owner"] = env.database(owner_url)
    return {
        "DATABASES": databases,
        "VALKEY_URL": valkey_url,
        "CACHES": _caches(valkey_url),
        "CELERY_BROKER_URL": valkey_url,
        "STRIPE_SECRET_KEY": env.text("STRIPE_SECRET_KEY", "sk_test_millrace"),
        "STRIPE_WEBHOOK_SECRET": webhook_secret,
        "STRIPE_API_BASE": stripe_base,
        "STORAGE_URL": env.text("STORAGE_URL", (var / "storage" / kind).as_uri()),
    }


def _caches(valkey_url: str) -> dict:
    """Shared by all processes: used one-time codes and failed log-ins are remembered there."""
    backend = "django.core.cache.backends.redis.RedisCache"
    # A server that fell silent must not hold a log-in for ever.
    patience = {"socket_connect_timeout": 5, "socket_timeout": 5}
    return {
        "default": {"BACKEND": backend, "LOCATION": valkey_url, "KEY_PREFIX": "millrace:cache", "OPTIONS": patience}
    }


def _pooled(database: dict) -> dict:
    """Keep connections between requests. The web asks for it; programs that fork must not share a pool's threads."""
    if size := env.integer("DATABASE_POOL_SIZE", 0):
        database["OPTIONS"]["pool"] = {"min_size": 1, "max_size": size, "timeout": 10}
    return database
