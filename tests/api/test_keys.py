"""API keys as credentials."""

import pytest

from accounts import secrets, selectors
from accounts.models import Tenant
from millrace.kernel.tenancy import current_scope
from tests.factories import ApiClient, make_api_key


@pytest.mark.parametrize(
    "change",
    [
        lambda key: key[:-1] + ("a" if key[-1] != "a" else "b"),
        lambda key: key.upper(),
        lambda key: key + "_x",
        lambda key: key.replace("mr_", "sk_", 1),
        lambda key: "_".join([*key.split("_")[:2], "000000000000", key.split("_")[3]]),
        lambda key: "_".join([*key.split("_")[:3], ""]),
        lambda key: key.split("_")[3],
        lambda key: "mr_test_\0_x",
        lambda key: "mr_test_é_x",
        lambda key: "",
        lambda key: "x" * 5000,
    ],
)
def test_a_key_that_is_not_quite_right_opens_nothing(tenant: Tenant, change) -> None:
    key = make_api_key(tenant)

    answer = ApiClient()
    answer.headers = {"Authorization": f"Bearer {change(key)}"}

    assert answer.get("/v1/me").status_code == 401
    assert ApiClient(key).get("/v1/me").status_code == 200


def test_an_unknown_key_takes_the_same_path_as_a_wrong_secret(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    key = make_api_key(tenant)
    compared: list[str] = []
    real = secrets.matches
    monkeypatch.setattr(secrets, "matches", lambda secret, stored: compared.append(secret) or real(secret, stored))

    assert selectors.api_key_by_secret("_".join([*key.split("_")[:3], "wrong"])) is None
    assert selectors.api_key_by_secret("mr_test_000000000000_wrong") is None

    assert compared == ["wrong", "wrong"]


def test_secrets_are_compared_in_constant_time_by_the_standard_library(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str]] = []
    monkeypatch.setattr(secrets.hmac, "compare_digest", lambda one, other: asked.append((one, other)) or False)

    assert not secrets.matches("secret", secrets.keyed_hash("secret"))

    assert len(asked) == 1


def test_another_installation_cannot_check_the_hash(settings) -> None:
    stored = secrets.keyed_hash("secret")
    assert secrets.matches("secret", stored)

    settings.SECRET_KEY = "another installation"

    assert not secrets.matches("secret", stored)


def test_t3_requests_of_different_tenants_do_not_leak_into_each_other(tenant: Tenant, charlie, api: ApiClient) -> None:
    from accounts.models import Membership
    from millrace.kernel.tenancy import platform_scope

    with platform_scope(reason="look"):
        other = Membership.objects.select_related("tenant").get(user=charlie).tenant
    theirs = ApiClient(make_api_key(other))

    for _ in range(2):
        assert api.get("/v1/test/act").json() == {"scope": str(tenant.pk)}
        assert theirs.get("/v1/test/act").json() == {"scope": str(other.pk)}
        assert ApiClient().get("/v1/test/public").json() == {"scope": "None"}

    assert current_scope() is None
