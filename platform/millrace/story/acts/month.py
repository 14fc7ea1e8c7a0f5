"""The month: visitors click, sign up, invite their colleagues, subscribe, and their machines report what they read."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from millrace.kernel import clock
from millrace.story.acts.backstage import House
from millrace.story.cast import BILLING_DAY, MONTH, WAYS, Organisation
from millrace.story.connections import connection
from millrace.story.offer import OWN_METER
from millrace.story.people import Person, Program, StoryError, expect
from millrace.story.stage import Stage

GOOD_CARD, FAILING_CARD = "4242424242424242", "4000000000000341"
HANDS = 6
# How many reports the machines of a customer send until the billing day.
REPORTS = 4


@dataclass
class Customer:
    """An organisation on stage: its owner's browser and its program's key."""

    organisation: Organisation
    owner: Person
    program: Program | None = None
    reported: int = 0


@dataclass
class Crowd:
    """Everybody on stage so far."""

    customers: dict[int, Customer] = field(default_factory=dict)

    def of(self, part: str) -> Customer:
        """The customer with a special part."""
        return next(one for one in self.customers.values() if one.organisation.part == part)

    @property
    def paying(self) -> list[Customer]:
        """Those with a subscription."""
        return [one for one in self.customers.values() if one.program is not None]


def at_once(work: Callable[[Any], Any], items: Iterable[Any]) -> list[Any]:
    """Do `work` on every item with several hands; the first failure is raised."""
    with ThreadPoolExecutor(HANDS) as pool:
        return list(pool.map(work, items))


def play_day(
    stage: Stage, house: House, crowd: Crowd, day: int, cast: list[Organisation], tick: Callable[[], None]
) -> None:
    """One business day: idle clicks, sign-ups, subscriptions."""
    stage.move_to(MONTH + timedelta(days=day - 1, hours=9))
    _idle_clicks(stage, day)

    def arrive(organisation: Organisation) -> Customer:
        customer = _arrive(stage, house, organisation)
        tick()
        return customer

    for customer in at_once(arrive, [one for one in cast if one.day == day]):
        crowd.customers[customer.organisation.number] = customer


def report_usage(crowd: Crowd, final: bool) -> None:
    """Every subscriber's machines report; the last time, whatever is left."""

    def report(customer: Customer) -> None:
        wanted = customer.organisation.recognitions
        left = wanted - customer.reported
        quantity = left if final else min(left, wanted // REPORTS)
        if not quantity or customer.program is None:
            return
        events = [{
            "meter": f"own:{OWN_METER}", "quantity": quantity, "idempotency_key": f"line-1:{customer.reported}",
            "occurred_at": clock.now().isoformat(), "properties": {"site": customer.organisation.domain},
        }]  # fmt: skip
        customer.program.call("POST", "/v1/usage-events", {"events": events})
        again = customer.program.call("POST", "/v1/usage-events", {"events": events})  # a machine that repeats itself
        if [one["status"] for one in again["data"]] != ["duplicate"]:
            raise StoryError(f"a repeated usage event was not recognised: {again}")
        customer.reported += quantity

    at_once(report, crowd.paying)


def billing_day_hour(hours: float) -> Any:
    """A moment of the billing day."""
    return MONTH + timedelta(days=BILLING_DAY - 1, hours=hours)


def _idle_clicks(stage: Stage, day: int) -> None:
    """Visitors who look and leave."""
    codes = []
    for way in WAYS:
        share = way.idle_clicks * day // 27 - way.idle_clicks * (day - 1) // 27
        links = way.partners or (way.slug,)
        codes += [links[number % len(links)] for number in range(share)]

    def click(code: str) -> None:
        with connection(stage.base_url) as browser:
            expect(browser.get(f"/r/{code}"), 302)

    at_once(click, codes)


def _arrive(stage: Stage, house: House, organisation: Organisation) -> Customer:
    email, name = organisation.owner
    owner = Person(stage.base_url, email, name)
    seller = Program(stage.base_url, house.reseller_key) if organisation.part == "reseller's" else None
    founded: dict = {}
    if seller:
        founded = seller.call(
            "POST", "/v1/reseller/tenants", {"name": organisation.name, "owner_email": email}, key=organisation.domain
        )
        _join(owner, stays=True)
    else:
        if organisation.link != "direct":
            owner.follow(organisation.link)
        owner.sign_up(organisation=organisation.name)
        owner.confirm_address()
    for colleague, colleague_name in organisation.people[1:]:
        owner.api("POST", "/v1/invitations", {"email": colleague, "role": "developer"})
        _join(Person(stage.base_url, colleague, colleague_name))
    customer = Customer(organisation, owner)
    if organisation.plan:
        price = {"price": house.prices[organisation.plan]}
        if seller:
            session = seller.call("POST", f"/v1/reseller/tenants/{founded['id']}/checkout-sessions", price)
        else:
            session = owner.api("POST", "/v1/checkout-sessions", price)
        card = FAILING_CARD if organisation.part == "declined" else GOOD_CARD
        pay_page(session["url"], card, email)
        made = owner.api(
            "POST", "/v1/api-keys", {"name": "machines", "scopes": ["usage", "jobs", "data", "predict", "models"]}
        )
        customer.program = Program(stage.base_url, made["secret"])
        customer.program.call("POST", "/v1/meters", {"name": OWN_METER, "unit": "readings"})
    return customer


def pay_page(url: str, card: str, email: str, **fields: str) -> None:
    """Fill a page of the Stripe sandbox that asks for a card."""
    form = {"number": card, "expiry": "12/34", "cvc": "123", "email": email, **fields}
    with connection() as browser:
        expect(browser.post(url, data=form), 200, 303)


def _join(person: Person, *, stays: bool = False) -> None:
    """Sign up with the invitation that was mailed."""
    person.sign_up(invitation=person.newest_link("/invitations/").rsplit("/", 1)[1])
    if not stays:
        person.browser.close()
