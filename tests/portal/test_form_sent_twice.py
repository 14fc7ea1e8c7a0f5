"""The form of a new job, sent twice: one job, with or without JavaScript."""

import re
from threading import Barrier, Thread
from typing import Any

import pytest
from django.db import connections
from django.test import Client

from accounts.models import Tenant, User
from millrace.kernel.tenancy import tenant_scope
from mlops.models import Job
from tests import factories
from tests.mlops.cast import digits, ready
from tests.portal.test_job_pages import FORM


def opened(browser: Client, tenant: Tenant) -> dict[str, Any]:
    """The form as a fresh page has it, to be submitted."""
    key = re.search(r'name="form_key" value="([^"]+)"', browser.get("/jobs/new/?preset=plain").content.decode())
    assert key
    with tenant_scope(tenant.pk):
        dataset = digits(tenant).dataset.public_id
    return FORM | {"dataset": dataset, "act": "submit", "form_key": key.group(1)}


@pytest.fixture
def browser(alice: User, tenant: Tenant) -> Client:
    """Alice's; her organisation is subscribed and has data."""
    ready(tenant)
    digits(tenant)
    return factories.logged_in(alice)


def jobs(tenant: Tenant) -> int:
    with tenant_scope(tenant.pk):
        return Job.objects.count()


def test_the_same_form_again_leads_to_its_job_and_says_so(browser: Client, tenant: Tenant) -> None:
    form = opened(browser, tenant)

    first = browser.post("/jobs/new/", form)
    again = browser.post("/jobs/new/", form, follow=True)

    assert again.redirect_chain == [(first["Location"], 302)]
    assert "This form was sent before" in again.content.decode()
    assert jobs(tenant) == 1


def test_a_changed_form_and_a_fresh_one_are_other_jobs(browser: Client, tenant: Tenant) -> None:
    form = opened(browser, tenant)
    browser.post("/jobs/new/", form)

    changed = browser.post("/jobs/new/", form | {"p_epochs": "3"})
    fresh = browser.post("/jobs/new/", opened(browser, tenant))

    assert changed["Location"] != fresh["Location"]
    assert jobs(tenant) == 3


def test_a_refusal_leaves_the_key_free(browser: Client, tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    from millrace.kernel.errors import PaymentRequired

    form = opened(browser, tenant)

    def refuse(**_: object) -> None:
        raise PaymentRequired("The card was declined.")

    with monkeypatch.context() as patched:
        patched.setattr("mlops.services.jobs.spend_reserve", refuse)
        refused = browser.post("/jobs/new/", form)
    assert refused.status_code == 200
    assert f'value="{form["form_key"]}"' in refused.content.decode()

    assert browser.post("/jobs/new/", form).status_code == 302
    assert jobs(tenant) == 1


def test_a_key_that_is_none_is_refused_and_none_at_all_is_no_key(browser: Client, tenant: Tenant) -> None:
    form = opened(browser, tenant)

    assert browser.post("/jobs/new/", form | {"form_key": "x"}).status_code == 200
    assert jobs(tenant) == 0
    for _ in range(2):
        assert browser.post("/jobs/new/", form | {"form_key": ""}).status_code == 302
    assert jobs(tenant) == 2


def test_the_form_sent_by_many_at_one_moment_makes_one_job(
    real_db: None, browser: Client, alice: User, tenant: Tenant
) -> None:
    form, start, ends = opened(browser, tenant), Barrier(4), []
    browsers = [factories.logged_in(alice) for _ in range(4)]

    def send(one: Client) -> None:
        start.wait()
        ends.append(one.post("/jobs/new/", form)["Location"])
        connections.close_all()

    threads = [Thread(target=send, args=(one,)) for one in browsers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(ends) == 4
    assert len(set(ends)) == 1
    assert jobs(tenant) == 1
