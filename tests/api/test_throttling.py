"""Rate limits: counted for each caller, told in headers, and not escaped by a header of the client's (T9)."""

from types import SimpleNamespace

import pytest
import redis
from asgiref.sync import async_to_sync
from django.test import Client, RequestFactory

from accounts.models import Tenant
from millrace.api.throttling import client_address
from millrace.settings import env
from mlops.serving.asgi import PredictDoor
from tests.factories import ApiClient, api_client


@pytest.fixture
def _few(settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.API_RATE_PER_MINUTE = 3
    settings.ANONYMOUS_RATE_PER_MINUTE = 2
    monkeypatch.setattr("millrace.api.throttling.time.time", lambda: 1_800_000_015.0)  # 15 s into a window


@pytest.mark.usefixtures("_few")
def test_the_limit_is_told_and_then_answered_with_429(api: ApiClient) -> None:
    told = [(answer["RateLimit-Limit"], answer["RateLimit-Remaining"]) for answer in [api.get("/v1/me") for _ in "123"]]
    refused = api.get("/v1/me")

    assert told == [("3", "2"), ("3", "1"), ("3", "0")]
    assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")
    assert refused["Content-Type"] == "application/problem+json"
    assert refused["Retry-After"] == refused["RateLimit-Reset"] == "45"
    assert refused["RateLimit-Remaining"] == "0"


@pytest.mark.usefixtures("_few")
def test_each_key_has_a_budget_of_its_own(api: ApiClient, tenant: Tenant) -> None:
    for _ in range(4):
        api.get("/v1/me")

    assert api_client(tenant).get("/v1/me").status_code == 200


@pytest.mark.usefixtures("_few")
def test_the_next_window_has_room_again(api: ApiClient, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(4):
        api.get("/v1/me")

    monkeypatch.setattr("millrace.api.throttling.time.time", lambda: 1_800_000_060.0)

    assert api.get("/v1/me").status_code == 200


@pytest.mark.usefixtures("_few")
def test_refused_requests_count_too(api: ApiClient, tenant: Tenant) -> None:
    guesser, reader = ApiClient("mr_test_000000000000_guess"), api_client(tenant, ["read"])

    assert [guesser.get("/v1/me").status_code for _ in range(3)] == [401, 401, 429]
    assert [reader.patch("/v1/tenant", {"name": "X"}).status_code for _ in range(4)] == [403, 403, 403, 429]


@pytest.mark.usefixtures("_few")
def test_guesses_of_keys_count_at_the_door_of_predictions_too(db: None) -> None:
    guesser, path = ApiClient("mr_test_000000000000_guess"), "/v1/models/mdl_01h455vb4pex5vsknk084sn02q/predict"

    assert [guesser.post(path, {"inputs": [1]}).status_code for _ in range(3)] == [401, 401, 429]


def test_the_fast_door_leaves_whom_it_does_not_know_to_django(database: None) -> None:
    handed_on: list[dict] = []

    async def django(scope: dict, receive: object, send: object) -> None:
        handed_on.append(scope)

    scope = {"type": "http", "method": "POST", "path": "/v1/models/mdl_x/predict",
             "headers": [(b"authorization", b"Bearer mr_test_000000000000_guess")]}  # fmt: skip
    async_to_sync(PredictDoor(django))(
        scope, lambda: pytest.fail("the body was read"), lambda _: pytest.fail("answered")
    )

    assert handed_on == [scope]


@pytest.mark.usefixtures("_few")
def test_t9_a_spoofed_forwarded_header_escapes_no_limit(db: None) -> None:
    answers = [
        Client().get("/v1/me", headers={"X-Forwarded-For": f"203.0.113.{number}"}).status_code for number in range(3)
    ]

    assert answers == [401, 401, 429]


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("198.51.100.7", "203.0.113.1", "198.51.100.7"),
        ("10.0.0.1", "203.0.113.1", "203.0.113.1"),
        ("10.0.0.1", "6.6.6.6, 203.0.113.1", "203.0.113.1"),
        ("10.0.0.1", "203.0.113.1, 10.0.0.2", "203.0.113.1"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", " , ", "10.0.0.1"),
        ("10.7.0.9", "6.6.6.6, 203.0.113.1, 10.7.255.1", "203.0.113.1"),
        ("::ffff:10.7.0.9", "203.0.113.1", "203.0.113.1"),
        ("fd00::7", "2001:db8::1", "2001:db8::1"),
        ("10.8.0.9", "203.0.113.1", "10.8.0.9"),
        ("", "203.0.113.1", ""),
    ],
)
def test_t9_only_known_proxies_name_the_client(
    settings, monkeypatch: pytest.MonkeyPatch, peer: str, forwarded: str, expected: str
) -> None:
    monkeypatch.setenv("TRUSTED_PROXIES", "10.0.0.1, 10.0.0.2, 10.7.0.0/16, fd00::/64")
    settings.TRUSTED_PROXIES = env.networks("TRUSTED_PROXIES")

    request = RequestFactory().get("/", REMOTE_ADDR=peer, headers={"X-Forwarded-For": forwarded})

    assert client_address(request) == expected


def test_without_valkey_everybody_is_served(api: ApiClient, monkeypatch: pytest.MonkeyPatch) -> None:
    dead = redis.Redis(host="127.0.0.1", port=1)
    monkeypatch.setattr("millrace.api.throttling.valkey", SimpleNamespace(client=lambda: dead))

    answer = api.get("/v1/me")

    assert answer.status_code == 200
    assert "RateLimit-Limit" in answer
