"""The OpenID Connect provider that the environment names, as allauth's settings. Without one there is none."""

from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured

from millrace.settings import env

# Stands in the callback's address, which is registered at the provider: never change it.
_PROVIDER_ID = "sso"
_LOOPBACK = {"127.0.0.1", "::1", "localhost"}


def providers() -> dict:
    """SOCIALACCOUNT_PROVIDERS: empty where OIDC_SERVER_URL is."""
    server = _server()
    return {"openid_connect": {"APPS": [_app(server)]}} if server else {}


def origins() -> list[str]:
    """Where the button's form leads: browsers hold the redirect that follows a POST to the same policy."""
    parts = urlsplit(_server())
    return [f"{parts.scheme}://{parts.netloc}", *env.items("OIDC_ORIGINS")] if parts.netloc else []


def _server() -> str:
    server = env.text("OIDC_SERVER_URL", "").rstrip("/")
    parts = urlsplit(server)
    if server and not (parts.netloc and (parts.scheme == "https" or _is_loopback(parts.scheme, parts.hostname))):
        # Its answer's signature is not looked at, since it comes straight from there: that holds over TLS only.
        raise ImproperlyConfigured("OIDC_SERVER_URL must begin with https:// (or be on this machine).")
    return server


def _is_loopback(scheme: str, host: str | None) -> bool:
    return scheme == "http" and host in _LOOPBACK


def _app(server: str) -> dict:
    return {
        "provider_id": _PROVIDER_ID,
        "name": env.text("OIDC_NAME", "single sign-on"),
        "client_id": env.text("OIDC_CLIENT_ID"),
        "secret": env.text("OIDC_CLIENT_SECRET"),
        "settings": {"server_url": server, "oauth_pkce_enabled": True},
    }
