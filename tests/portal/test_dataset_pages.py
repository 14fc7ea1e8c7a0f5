"""The data sets' pages."""

from io import BytesIO

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from accounts.models import Tenant, User
from millrace.kernel.tenancy import tenant_scope
from mlops.models import Dataset
from tests import factories
from tests.portal.html import faults_of


@pytest.fixture
def browser(alice: User) -> Client:
    """Alice's."""
    return factories.logged_in(alice)


def upload(browser: Client, content: bytes) -> object:
    file = SimpleUploadedFile("rows.csv", BytesIO(content).read())
    return browser.post("/datasets/new/", {"source": "upload", "name": "rows", "format": "csv", "file": file})


@pytest.mark.parametrize("path", ["/datasets/", "/datasets/new/"])
def test_page_is_sound(browser: Client, path: str) -> None:
    response = browser.get(path)

    assert response.status_code == 200
    assert faults_of(response.content.decode()) == []
    assert 'class="door"' in response.content.decode()


def test_empty_list_says_what_to_do_next(browser: Client) -> None:
    html = browser.get("/datasets/").content.decode()

    assert "No data sets yet" in html
    assert "curl -X POST" in html


def test_built_in_set_is_taken_and_shown_with_samples(browser: Client) -> None:
    answer = browser.post("/datasets/new/", {"source": "builtin", "builtin": "digits"})

    page = browser.get(answer["Location"])
    html = page.content.decode()
    assert faults_of(html) == []
    assert "1,797" in html
    assert "/samples/0?side=56" in html
    assert browser.get(html.split('<img src="')[1].split('"')[0].replace("&amp;", "&"))["Content-Type"] == "image/png"
    assert "CC BY 4.0" in html
    assert "digits" in browser.get("/datasets/").content.decode()


def test_upload_becomes_a_version(browser: Client) -> None:
    rows = "\n".join(f"{i},{i % 7},{'ab'[i % 2]}" for i in range(40))

    answer = upload(browser, f"x,y,label\n{rows}\n".encode())

    page = browser.get(answer["Location"])
    assert page.status_code == 200
    assert faults_of(page.content.decode()) == []
    assert "features" not in page.content.decode() or "samples" not in page.content.decode()


def test_faulty_upload_names_its_rows_and_keeps_nothing(browser: Client, tenant: Tenant) -> None:
    answer = upload(browser, b"x,y,label\n1,2,a\n3,nope,b\n4,5,a\n")

    html = answer.content.decode()
    assert answer.status_code == 422
    assert faults_of(html) == []
    assert "nope" in html
    assert "value_not_number" in html
    with tenant_scope(tenant.pk):
        assert not Dataset.objects.exists()


def test_strange_version_is_not_found(browser: Client) -> None:
    answer = browser.post("/datasets/new/", {"source": "builtin", "builtin": "digits"})

    assert browser.get(f"{answer['Location']}?version=9").status_code == 404
    assert browser.get(f"{answer['Location']}?version=x").status_code == 404


def test_stranger_does_not_find_it(browser: Client, charlie: User) -> None:
    answer = browser.post("/datasets/new/", {"source": "builtin", "builtin": "digits"})

    assert factories.logged_in(charlie).get(answer["Location"]).status_code == 404
