"""Alice owns a tenant, Bob develops in it, Charlie is a stranger with a tenant of his own."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from django.conf import LazySettings
from django.db import connections

from accounts.models import Tenant, User
from accounts.roles import Role
from millrace.kernel import storage, valkey
from tests import factories


@pytest.fixture(autouse=True)
def _clean_valkey(request: pytest.FixtureRequest, worker_id: str) -> Iterator[None]:
    """Each worker has a Valkey database of its own, emptied after each test that used it."""
    yield
    if valkey.client.cache_info().currsize:
        valkey.client().flushdb()


@pytest.fixture(scope="session", autouse=True)
def _own_valkey(worker_id: str) -> None:
    from django.conf import settings

    number = 0 if worker_id == "master" else int(worker_id.removeprefix("gw")) + 1
    base = settings.VALKEY_URL.rstrip("/")
    head, _, last = base.rpartition("/")
    base = head if last.isdigit() and not head.endswith("/") else base
    settings.VALKEY_URL = settings.CELERY_BROKER_URL = f"{base}/{number}"
    settings.CACHES["default"]["LOCATION"] = settings.VALKEY_URL
    valkey.client.cache_clear()  # making the database may have opened one to the common address


@pytest.fixture
def real_db(django_db_setup: None, django_db_blocker: pytest.Mark) -> Iterator[None]:
    """The database with real commits, for races and whole flows; every table is emptied afterwards."""
    with django_db_blocker.unblock():
        yield
        owner = connections["owner"]
        with owner.cursor() as cursor:
            cursor.execute(
                "SELECT string_agg(format('%I', tablename), ',') FROM pg_tables WHERE schemaname = 'public' "
                "AND tablename NOT IN ('django_migrations', 'django_content_type', 'auth_permission', 'django_site')"
            )
            cursor.execute(f"TRUNCATE {cursor.fetchone()[0]} RESTART IDENTITY CASCADE")
        for connection in connections.all():
            connection.close()


@pytest.fixture
def database(request: pytest.FixtureRequest) -> None:
    """The test's database: with real commits where the test asks for `real_db`, else rolled back at its end."""
    request.getfixturevalue("real_db" if "real_db" in request.fixturenames else "db")


@pytest.fixture
def tenant(database: None) -> Tenant:
    """Alice's and Bob's tenant."""
    return factories.make_tenant(name="Acme Sensors")


@pytest.fixture
def alice(tenant: Tenant) -> User:
    """The owner."""
    return factories.make_member(tenant, "alice@example.com", Role.OWNER)


@pytest.fixture
def bob(tenant: Tenant) -> User:
    """A developer in Alice's tenant."""
    return factories.make_member(tenant, "bob@example.com", Role.DEVELOPER)


@pytest.fixture
def charlie(database: None) -> User:
    """A stranger: the owner of another tenant."""
    other = factories.make_tenant(name="Charlie's")
    return factories.make_member(other, "charlie@example.com", Role.OWNER)


@pytest.fixture
def staff(database: None) -> User:
    """One of the company's own people."""
    return factories.make_user("staff@example.com", is_staff=True)


@pytest.fixture
def partner_user(database: None) -> User:
    """The owner of a partner's organisation."""
    partner_tenant = factories.make_tenant(name="Sensor Partners", kind="partner")
    return factories.make_member(partner_tenant, "partner@example.com", Role.OWNER)


@pytest.fixture
def api(tenant: Tenant) -> SimpleNamespace:
    """An API client with an all-powerful key of Alice's tenant: `api.get(path)`, `api.post(path, body, key=…)`."""
    return factories.api_client(tenant, scopes=["admin"])


@pytest.fixture
def own_store(settings: LazySettings, tmp_path: Path) -> Iterator[None]:
    """A blob store of the test's own."""
    settings.STORAGE_URL = f"file://{tmp_path / 'store'}"
    storage.root.cache_clear()
    yield
    storage.root.cache_clear()
