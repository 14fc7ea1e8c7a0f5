"""Jobs: the form made from the recipe, the price before the run, progress, stopping."""

import pytest
from django.test import Client

from accounts.models import Tenant, User
from millrace.kernel.tenancy import tenant_scope
from mlops.models import Job
from mlops.recipes import load_recipe
from mlops.services.events import events_append
from tests import factories
from tests.mlops.cast import digits, ready, submit
from tests.portal.html import faults_of

FORM = {"recipe": "image-cnn", "preset": "plain", "device": "cpu"} | {
    f"p_{name}": str(value)
    for name, value in load_recipe("image-cnn").default_params("plain").items()
    if not isinstance(value, bool)
}
FORM |= {"p_epochs": "2"}


@pytest.fixture
def browser(alice: User, tenant: Tenant) -> Client:
    """Alice's; her organisation is subscribed."""
    ready(tenant)
    return factories.logged_in(alice)


@pytest.mark.parametrize("path", ["/jobs/", "/jobs/new/", "/models/", "/", "/jobs/?state=running"])
def test_empty_pages_are_sound(browser: Client, path: str) -> None:
    response = browser.get(path)

    assert response.status_code == 200
    assert faults_of(response.content.decode()) == []
    assert "curl -X POST" in response.content.decode()


def test_form_has_a_labelled_field_for_each_parameter_of_the_recipe(browser: Client, tenant: Tenant) -> None:
    digits(tenant)

    html = browser.get("/jobs/new/?preset=plain").content.decode()

    assert faults_of(html) == []
    assert 'name="p_epochs" value="10" min="1" max="500"' in html
    assert '<option value="plain" selected>' in html
    assert "Passes over the training examples." in html


def test_price_is_shown_before_anything_runs(browser: Client, tenant: Tenant) -> None:
    version = digits(tenant)

    page = browser.post("/jobs/new/", FORM | {"dataset": version.dataset.public_id, "act": "quote"})
    part = browser.post("/jobs/quote", FORM | {"dataset": version.dataset.public_id, "act": "submit"})

    for html in (page.content.decode(), part.content.decode()):
        assert "Estimate" in html
        assert "At most" in html
    assert faults_of(page.content.decode()) == []
    assert "<html" not in part.content.decode()
    with tenant_scope(tenant.pk):
        assert not Job.objects.exists()


def test_job_is_submitted(browser: Client, tenant: Tenant) -> None:
    version = digits(tenant)

    answer = browser.post(
        "/jobs/new/", FORM | {"dataset": version.dataset.public_id, "act": "submit", "spend_cap": "5"}
    )

    with tenant_scope(tenant.pk):
        job = Job.objects.get()
    assert answer["Location"] == f"/jobs/{job.public_id}/"
    assert (job.state, job.params["epochs"], job.spend_cap) == ("queued", 2, 500)
    page = browser.get(answer["Location"]).content.decode()
    assert faults_of(page) == []
    assert f'data-live-job="/v1/jobs/{job.public_id}/events' in page
    assert f"Stop {job.public_id[-8:]}" in page
    assert job.public_id in browser.get("/jobs/").content.decode()


@pytest.mark.parametrize(("wrong", "said"), [
    ({"p_epochs": "0"}, "greater than or equal to 1"), ({"p_epochs": "many"}, "whole number"),
    ({"spend_cap": "-1"}, "more than zero"), ({"spend_cap": "0.000001"}, "more than zero"), ({"device": "abacus"}, "abacus"),
    ({"dataset": "ds_01h455vb4pex5vsknk084sn02q"}, "valid choice"), ({"p_form": "cubic"}, "cubic"),
])  # fmt: skip
def test_refusal_stands_at_its_field_and_nothing_runs(
    browser: Client, tenant: Tenant, wrong: dict, said: str
) -> None:  # fmt: skip
    version = digits(tenant)

    answer = browser.post("/jobs/new/", FORM | {"dataset": version.dataset.public_id, "act": "submit"} | wrong)

    html = answer.content.decode()
    assert answer.status_code == 200
    assert faults_of(html) == []
    assert "errorlist" in html
    if said != "more than zero" or wrong["spend_cap"] == "-1":
        assert said in html
    with tenant_scope(tenant.pk):
        assert not Job.objects.exists()


@pytest.mark.parametrize("query", ["recipe=nothing", "preset=nothing"])
def test_unknown_recipe_is_not_found(browser: Client, query: str) -> None:
    assert browser.get(f"/jobs/new/?{query}").status_code == 404


def test_curves_come_from_the_job_s_events(browser: Client, tenant: Tenant) -> None:
    job = submit(tenant)
    with tenant_scope(tenant.pk):
        rows = [
            ("metric", {"name": "train_loss", "value": 1 / epoch, "step": epoch, "epoch": epoch}) for epoch in (1, 2, 2)
        ]
        events_append(job, [*rows, ("log", {"text": "hello <b>\n"})])

    page = browser.get(f"/jobs/{job.public_id}/").content.decode()
    part = browser.get(f"/jobs/{job.public_id}/live").content.decode()

    assert faults_of(page) == []
    assert "Loss by epoch" in page
    assert page.count("<polyline") == 1
    assert "hello &lt;b&gt;" in page
    assert "Loss by epoch" in part
    assert "<html" not in part


def test_job_is_stopped_by_its_button(browser: Client, tenant: Tenant) -> None:
    job = submit(tenant)

    page = browser.post(f"/jobs/{job.public_id}/cancel", follow=True).content.decode()

    with tenant_scope(tenant.pk):
        job.refresh_from_db()
    assert job.state == "canceled"
    assert "data-live-job" not in page
    assert "Resume" not in page


def test_stranger_does_not_find_it(tenant: Tenant, charlie: User) -> None:
    job = submit(tenant)
    stranger = factories.logged_in(charlie)

    assert stranger.get(f"/jobs/{job.public_id}/").status_code == 404
    assert stranger.post(f"/jobs/{job.public_id}/cancel").status_code == 404
    with tenant_scope(tenant.pk):
        job.refresh_from_db()
    assert job.state == "queued"
