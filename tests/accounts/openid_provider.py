"""A small OpenID provider over real HTTP: discovery, authorization code with PKCE, token, keys, userinfo. It logs
everybody in as `person`, and is as strict about codes, secrets and addresses as the specification asks."""

import base64
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

CLIENT_ID, CLIENT_SECRET = "millrace-tests", "a secret of the tests"


class OpenIdProvider:
    """What the provider knows. Change `person` to be somebody else; `deny` to cancel; `fault` to misbehave."""

    def __init__(self) -> None:
        self.address = ""
        self.person: dict[str, Any] = {
            "sub": "dora-1", "email": "dora@example.com", "email_verified": True, "name": "Dora Lens",
        }  # fmt: skip
        self.deny = False
        self.fault = ""
        self.asked: list[dict[str, str]] = []
        self._codes: dict[str, dict[str, str]] = {}
        self._tokens: dict[str, dict[str, Any]] = {}
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def settings(self) -> dict[str, Any]:
        """SOCIALACCOUNT_PROVIDERS, as the environment's variables make them."""
        app = {
            "provider_id": "sso", "name": "Optics ID", "client_id": CLIENT_ID, "secret": CLIENT_SECRET,
            "settings": {"server_url": self.address, "oauth_pkce_enabled": True},
        }  # fmt: skip
        return {"openid_connect": {"APPS": [app]}}

    def discovery(self) -> dict[str, Any]:
        """Where everything is."""
        return {
            "issuer": self.address, "authorization_endpoint": f"{self.address}/authorize",
            "token_endpoint": f"{self.address}/token", "jwks_uri": f"{self.address}/keys",
            "userinfo_endpoint": f"{self.address}/userinfo", "response_types_supported": ["code"],
            "subject_types_supported": ["public"], "id_token_signing_alg_values_supported": ["RS256"],
            "token_endpoint_auth_methods_supported": ["client_secret_post"],
        }  # fmt: skip

    def authorize(self, asked: dict[str, str]) -> str:
        """The address that the person's browser is sent back to."""
        assert asked["client_id"] == CLIENT_ID
        assert asked["response_type"] == "code"
        assert {"openid", "email"} <= set(asked["scope"].split())
        assert asked["code_challenge_method"] == "S256"
        self.asked.append(asked)
        back = {"state": asked["state"]}
        if self.deny:
            back["error"] = "access_denied"
        else:
            back["code"] = secrets.token_urlsafe(16)
            self._codes[back["code"]] = asked
        return f"{asked['redirect_uri']}?{urlencode(back)}"

    def token(self, sent: dict[str, str]) -> tuple[int, dict[str, Any]]:
        """Tokens for a code, once, for whoever asked for it and nobody else."""
        asked = self._codes.pop(sent.get("code", ""), None)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(sent.get("code_verifier", "").encode()).digest())
        if (
            asked is None
            or (sent.get("client_id"), sent.get("client_secret")) != (CLIENT_ID, CLIENT_SECRET)
            or sent.get("redirect_uri") != asked["redirect_uri"]
            or challenge.decode().rstrip("=") != asked["code_challenge"]
        ):
            return 400, {"error": "invalid_grant"}
        token = secrets.token_urlsafe(16)
        self._tokens[token] = dict(self.person)
        return 200, {"access_token": token, "token_type": "Bearer", "expires_in": 300, "id_token": self.identity()}

    def identity(self) -> str:
        """A signed statement of who the person is."""
        now = int(time.time())
        audience = "somebody else" if self.fault == "audience" else CLIENT_ID
        claims = self.person | {"iss": self.address, "aud": audience, "iat": now, "exp": now + 300}
        return jwt.encode(claims, self._key, algorithm="RS256", headers={"kid": "1"})

    def keys(self) -> dict[str, Any]:
        """The public key that identity tokens are signed with."""
        public = jwt.algorithms.RSAAlgorithm.to_jwk(self._key.public_key(), as_dict=True)
        return {"keys": [public | {"kid": "1", "use": "sig", "alg": "RS256"}]}

    def userinfo(self, authorization: str) -> tuple[int, dict[str, Any]]:
        """Whose token it is."""
        person = self._tokens.get(authorization.removeprefix("Bearer "))
        return (200, person) if person else (401, {"error": "invalid_token"})


@contextmanager
def openid_provider() -> Iterator[OpenIdProvider]:
    """A provider that answers on a port of this machine."""
    provider = OpenIdProvider()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"provider": provider}))
    provider.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield provider
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    provider: OpenIdProvider

    def do_GET(self) -> None:
        """Everything but the token."""
        at = urlsplit(self.path)
        if self.provider.fault == "away":
            self._answer(502, {})
        elif at.path == "/.well-known/openid-configuration":
            self._answer(200, self.provider.discovery())
        elif at.path == "/authorize":
            self.send_response(302)
            self.send_header("Location", self.provider.authorize(dict(parse_qsl(at.query))))
            self.end_headers()
        elif at.path == "/keys":
            self._answer(200, self.provider.keys())
        elif at.path == "/userinfo":
            self._answer(*self.provider.userinfo(self.headers.get("Authorization", "")))
        else:
            self._answer(404, {"error": "not_found"})

    def do_POST(self) -> None:
        """The token."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        self._answer(*self.provider.token(dict(parse_qsl(body))))

    def _answer(self, status: int, body: dict[str, Any]) -> None:
        payload = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, *_: object) -> None:
        """Quiet: a test's output is for what went wrong."""
