"""Who plays, when they come, and what they will use: drawn from a seed, the same every time.

The cast decides inputs only: who signs up on which day by which way, which plan they buy, how many recognitions their
machines report. What that comes to, the billing engine and the reports say.
"""

import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from millrace.story.logins import LOGINS
from millrace.story.offer import OFFERS, REBATE_PERCENT, settle_on

MONTH = datetime(2026, 1, 1, tzinfo=UTC)
BILLING_DAY = 28
# Three days after the billing day Stripe has tried the declined payment again: the story's last move of the clock.
LAST_MOVE = MONTH + timedelta(days=BILLING_DAY + 2, hours=4)
SEED = 20260101
MEMBERS_OF_PAYING, MEMBERS_OF_FREE = 3, 4
# What the month is to come to, net of the refund, in fen.
REVENUE, REFUND = 50_000_000, 50_000
ANSWERS, CONTENT = 100, 90
# How many customers buy the plan for a whole factory.
FACTORIES = 29

_SURNAMES = [
    "Wang",
    "Li",
    "Zhang",
    "Liu",
    "Chen",
    "Yang",
    "Huang",
    "Zhao",
    "Wu",
    "Zhou",
    "Xu",
    "Sun",
    "Ma",
    "Zhu",
    "Hu",
    "Guo",
    "He",
    "Lin",
    "Gao",
    "Luo",
]
_GIVEN = [
    "Wei",
    "Fang",
    "Na",
    "Min",
    "Jing",
    "Lei",
    "Qiang",
    "Yan",
    "Jun",
    "Tao",
    "Chao",
    "Ming",
    "Hui",
    "Ping",
    "Gang",
    "Hong",
    "Xin",
    "Bo",
    "Kai",
    "Yun",
    "Rui",
    "Ning",
]
_PLACES = [
    "Harbin",
    "Jinan",
    "Suzhou",
    "Wuxi",
    "Foshan",
    "Ningbo",
    "Xiamen",
    "Dalian",
    "Hefei",
    "Changsha",
    "Luoyang",
    "Baotou",
    "Weifang",
    "Zibo",
]
_TRADES = [
    "Valve",
    "Bearing",
    "Conveyor",
    "Motor",
    "Robotics",
    "Gauge",
    "Optics",
    "Packaging",
    "Pump",
    "Relay",
    "Turbine",
    "Weighing",
    "Cable",
    "Mould",
]


@dataclass(frozen=True)
class Way:
    """One way by which customers come: a channel, with its links and the share of users that it brings."""

    kind: str
    slug: str
    name: str
    users: int
    paying: int
    idle_clicks: int
    partners: tuple[str, ...] = ()


WAYS = (
    Way("direct", "direct", "Direct sales", users=176, paying=60, idle_clicks=0),
    Way("marketplace", "marketplace", "Industrial marketplace", users=288, paying=72, idle_clicks=320),
    Way("social", "social", "Short video and social media", users=228, paying=36, idle_clicks=420),
    Way("event", "events", "Trade events", users=124, paying=48, idle_clicks=60),
    Way("agent", "makers", "Sensor and controller makers", users=184, paying=84, idle_clicks=90,
        partners=("hengsen", "longyan")),
)  # fmt: skip


@dataclass
class Organisation:
    """A customer: its people and what they will do. `part` is a special part in the story, if it has one."""

    number: int
    name: str
    domain: str
    way: Way
    link: str
    day: int
    people: list[tuple[str, str]]
    plan: str = ""
    recognitions: int = 0
    part: str = ""
    score: int = 0

    @property
    def owner(self) -> tuple[str, str]:
        """E-mail and name of whoever signs up."""
        return self.people[0]

    @property
    def rebate(self) -> Decimal:
        """What its payer pays less than list, in percent."""
        return REBATE_PERCENT if self.part == "reseller's" else Decimal(0)

    @property
    def owed(self) -> int:
        """What its month comes to, in fen."""
        return OFFERS[self.plan].owed(self.recognitions, self.rebate) if self.plan else 0


def company(seed: int = SEED) -> list[Organisation]:
    """Every customer of the month, by day: 1,000 people, 300 of them in organisations that pay."""
    dice = random.Random(seed)  # noqa: S311 - a cast, not a secret
    found: list[Organisation] = []
    for way in WAYS:
        for size, people in ((MEMBERS_OF_PAYING, way.paying), (MEMBERS_OF_FREE, way.users - way.paying)):
            for _ in range(people // size):
                found.append(_organisation(len(found) + 1, way, size, dice))
    _give_parts(found)
    payers = [one for one in found if len(one.people) == MEMBERS_OF_PAYING]
    _give_plans(payers, dice)
    for number, one in enumerate(dice.sample(payers, ANSWERS)):
        one.score = dice.choice((4, 5, 5)) if number < CONTENT else dice.choice((1, 2, 3))
    return sorted(found, key=lambda one: (one.day, one.number))


def _organisation(number: int, way: Way, size: int, dice: random.Random) -> Organisation:
    place, trade = dice.choice(_PLACES), dice.choice(_TRADES)
    domain = f"{place}-{trade}-{number}.example".lower()
    people = []
    for seat in range(size):
        given, surname = dice.choice(_GIVEN), dice.choice(_SURNAMES)
        people.append((f"{given}.{surname}{seat + 1}@{domain}".lower(), f"{given} {surname}"))
    link = dice.choice(way.partners) if way.partners else way.slug
    return Organisation(number, f"{place} {trade} {number}", domain, way, link, dice.randint(1, 26), people)


def _give_parts(found: list[Organisation]) -> None:
    """Ada trains the recogniser, from day one; one customer is a reseller's; one card is declined; one is refunded."""
    payers = [one for one in found if len(one.people) == MEMBERS_OF_PAYING]
    of = {way.slug: [one for one in payers if one.way.slug == way.slug] for way in WAYS}
    trainer, resold, declined, refunded = of["direct"][0], of["makers"][0], of["events"][0], of["marketplace"][0]
    trainer.part, trainer.day, trainer.name = "trainer", 1, "Ada Works"
    trainer.people[0] = (LOGINS[0].email, "Ada Wang")
    resold.part, resold.link, resold.day = "reseller's", "", 9
    declined.part, refunded.part = "declined", "refunded"
    of["social"][0].part = "filler"


def _give_plans(payers: list[Organisation], dice: random.Random) -> None:
    special = {"trainer": "works", "filler": "edge", "reseller's": "edge"}
    factories = dice.sample([one for one in payers if one.part not in special], FACTORIES)
    for one in payers:
        one.plan = special.get(one.part) or ("line" if one in factories else "edge")
        # Multiples of four, so that no line of the month has a fraction of a fen.
        one.recognitions = 0 if one.part in {"trainer", "filler"} else 4 * dice.randint(6_000, 20_000)
    filler = next(one for one in payers if one.part == "filler")
    others = sum(one.owed for one in payers if one is not filler)
    filler.recognitions = settle_on(REVENUE + REFUND, others, OFFERS["edge"])
