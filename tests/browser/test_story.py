"""A customer's whole way in a real browser: a partner's link, sign-up, mail, Checkout, data, a trained model, an
invoice. Nothing is faked: the card form is the sandbox's page, the net is trained by a worker."""

import os
import re
from typing import Any

import pytest

from channels_partners.models import Attribution
from millrace.kernel import clock, outbox
from millrace.kernel.tenancy import platform_scope
from tests.billing.stripe_world import World
from tests.channels_partners.makers import make_link, make_partner
from tests.mlops.programs import ROOT, wait_for

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(480)]
# Playwright's own event loop runs in this thread, which Django takes for an asynchronous caller.
os.environ.setdefault("DJANGO_ALLOW_ASYNC_UNSAFE", "true")


def hear(world: World) -> None:
    """What Stripe and the rooms have to say, delivered."""
    world.now = clock.now()
    world.deliver()
    outbox.drain()


def sign_up(page: Any) -> None:
    """By a form, and by the link in the mail."""
    page.fill("#id_name", "Li Wei")
    page.fill("#id_organisation", "Wuhan Valves")
    page.fill("#id_email", "li@wuhan-valves.example")
    page.fill("#id_password1", "correct horse battery")
    page.click("main button.primary")
    page.get_by_role("heading", name="Check your mail").wait_for()
    page.click("text=open the mailbox")
    page.click("article a[href*='confirm-email']")
    page.click("button:has-text('Confirm li@wuhan-valves.example')")
    page.get_by_role("heading", name="Wuhan Valves").wait_for()


def subscribe(page: Any, world: World) -> None:
    """Through the payment service's own page."""
    page.click("nav >> text=Plan and limit")
    page.click("text=Subscribe to Starter")
    page.get_by_role("heading", name="Checkout").wait_for()
    page.fill("#number", "4242 4242 4242 4242")
    page.fill("#expiry", "12 / 34")
    page.fill("#cvc", "123")
    page.click("button:has-text('Subscribe')")
    page.wait_for_url(re.compile(r"checkout=done"))
    hear(world)
    page.reload()
    page.get_by_role("heading", name="Starter", exact=True).wait_for()


def train(page: Any) -> str:
    """Take a built-in data set and submit a short job on it; answers the job's address."""
    page.click("nav >> text=Data sets")
    page.click("text=Add a data set")
    page.select_option("#id_builtin", "digits")
    page.click("text=Take this one")
    page.get_by_role("heading", name="digits").wait_for()
    page.click("text=Train on it")
    page.select_option("#preset", "plain")
    page.click("text=Use it")
    page.click("summary:has-text('Parameters')")
    page.fill("#id_p_epochs", "3")
    page.fill("#id_model_name", "Digit reader")
    page.locator("#quote >> text=Estimate").wait_for()
    page.click("text=Run it")
    page.locator("#live").wait_for()
    return str(page.url)


def ask_the_model(page: Any, start: Any) -> None:
    """Let it read an example of its data set, and say that it was right."""
    serving = start(str(ROOT / "manage.py"), "serve")
    wait_for(lambda: "serving on" in serving.output(), serving)
    page.fill("#sample", "0")
    page.click("text=Load it")
    page.locator(".told").wait_for()
    assert page.locator(".told").inner_text() in "0123456789"
    page.click("text=Right")
    page.get_by_text("Thank you, that is kept.").wait_for()


def test_from_a_partner_s_link_to_a_paid_invoice(page: Any, world: World, start: Any, start_worker: Any) -> None:  # fmt: skip
    link = make_link(make_partner("Sensor Partners"), code="spring")

    page.goto(f"/r/{link.code}")
    page.get_by_text("You came through Sensor Partners.").wait_for()
    sign_up(page)
    hear(world)
    subscribe(page, world)

    worker = start_worker()
    train(page)
    wait_for(lambda: page.locator("#live .tag").first.inner_text() == "succeeded", worker)
    page.locator("svg text", has_text="held out").first.wait_for()
    page.click("nav >> text=Models")
    page.click("tbody >> text=Digit reader")
    page.get_by_role("heading", name="Confusions on the held-out part").wait_for()
    assert worker.stop() == 0
    ask_the_model(page, start)

    page.click("nav >> text=Invoices")
    assert "paid" in page.locator("tbody tr").first.inner_text()
    assert "299.00" in page.locator("tbody tr").first.inner_text()
    page.click("tbody a")
    page.locator("tbody a").first.wait_for()
    with platform_scope(reason="look"):
        bound = Attribution.objects.select_related("partner").get()
    assert (bound.partner.name, bound.status) == ("Sensor Partners", "bound")


def test_pages_are_quiet_at_360_pixels_and_in_the_dark(page: Any) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    page.emulate_media(color_scheme="dark")

    for path in ("/", "/pricing/", "/accounts/login/", "/accounts/signup/"):
        page.goto(path)
        wider = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        ground = page.evaluate("getComputedStyle(document.body).backgroundColor")

        assert wider == 0, path
        assert ground == "rgb(11, 22, 28)", path
    page.get_by_role("button", name="light").click()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(252, 252, 250)"
    page.reload()
    assert page.evaluate("document.documentElement.dataset.theme") == "light"


def test_skip_link_is_the_first_thing_a_keyboard_reaches(page: Any) -> None:
    page.goto("/")

    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Enter")

    assert page.evaluate("location.hash") == "#main"
