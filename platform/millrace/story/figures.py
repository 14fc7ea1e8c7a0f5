"""The report's figures, each read from a door; nothing is reckoned here but a sum's place in the file."""

from typing import Any

from millrace.story.acts.training import Training
from millrace.story.cast import WAYS
from millrace.story.offer import CURRENCY
from millrace.story.people import Person
from millrace.story.report import ask


def gather(olga: Person, training: Training, faults: dict[str, Any]) -> dict[str, Any]:
    """What the staff's reports and Ada's own jobs say of the month."""
    paying = ask(olga, "paying-ratio", by="total")["rows"][0]
    total = ask(olga, "channel-revenue", by="total")["rows"][0]
    return {
        "users": paying["users"],
        "paying_users": paying["paying_users"],
        "paying_ratio": float(paying["user_ratio"]),
        "revenue": _money(total["revenue"]),
        "csat": float(ask(olga, "csat", by="total")["rows"][0]["csat"]),
        "channels": _channels(olga),
        "streams": [
            {"name": row["group"], "revenue": _money(row["revenue"])}
            for row in ask(olga, "channel-revenue", by="stream")["rows"]
        ],
        "model": _model(training),
        "faults": faults,
    }


def _channels(olga: Person) -> list[dict[str, Any]]:
    kinds = {way.slug: way.kind for way in WAYS}
    revenue = {row["group"]: row for row in ask(olga, "channel-revenue", by="channel")["rows"]}
    ratios = {row["group"]: row for row in ask(olga, "paying-ratio", by="channel")["rows"]}
    found = []
    for row in ask(olga, "funnel", by="channel")["rows"]:
        money = revenue.get(row["group"], {"revenue": 0, "accrued": 0, "clawed_back": 0, "net": 0})
        found.append(
            {
                "kind": kinds.get(row["group"], row["group"]),
                "name": row["name"],
                "clicks": row["clicks"],
                "signups": row["signups"],
                "users": ratios[row["group"]]["users"],
                "paying": row["paying"],
                "paying_users": ratios[row["group"]]["paying_users"],
                "revenue": _money(money["revenue"]),
                "commission": _money(money["accrued"] - money["clawed_back"]),
                "net": _money(money["net"]),
            }
        )
    return found


def _model(training: Training) -> dict[str, Any]:
    program = training.program
    deep, plain = (program.call("GET", f"/v1/jobs/{job}") for job in (training.deep, training.plain))
    versions = program.call("GET", f"/v1/models/{training.model}/versions")["data"]
    accuracy = {version["job"]: version["metrics"]["accuracy"] for version in versions}
    return {
        "recipe": deep["recipe"],
        "accuracy": accuracy[training.deep],
        "plain_accuracy": accuracy[training.plain],
        "job": training.deep,
        "device_ms": deep["device_ms"] + deep["lost_ms"],
        "billed": deep["device_ms"],
        "lost": deep["lost_ms"],
        "attempts": deep["attempts"],
        "plain_job": plain["id"],
    }


def _money(amount: int) -> dict[str, Any]:
    return {"amount": amount, "currency": CURRENCY}
