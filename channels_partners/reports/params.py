"""What a report is asked for."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from urllib.parse import urlencode

from django.utils.dateparse import parse_date, parse_datetime

from channels_partners.errors import ReportUnknown
from millrace.kernel import clock
from millrace.kernel.errors import Invalid
from millrace.kernel.money import exponent

_FIRST_YEAR, _LAST_YEAR = 2000, 2200
FORMATS = ("json", "csv", "xlsx")
GROUPINGS = ("total", "channel", "partner", "campaign", "stream", "tenant", "month")


@dataclass(frozen=True, slots=True)
class Params:
    """A period [start, end), a grouping, and a currency (empty for all)."""

    start: datetime
    end: datetime
    by: str = "channel"
    currency: str = ""

    def query(self, **more: str) -> str:
        """The same as a query string, for drill addresses."""
        values = {"from": self.start.isoformat(), "to": self.end.isoformat(), "by": self.by}
        if self.currency:
            values["currency"] = self.currency
        return urlencode(values | more)


def parse(query: Mapping[str, str], *, groupings: tuple[str, ...]) -> Params:
    """The parameters of a query string: `from` and `to` (days or RFC 3339 times, UTC, the end excluded; by default this
    month until now), `by` (the report's first grouping by default), `currency`. Invalid for nonsense."""
    now = clock.now()
    end = _moment(query, "to", now)
    # The month of the last moment within: at midnight of the first, that is the month just over.
    last = end - timedelta(microseconds=1)
    start = _moment(query, "from", last.replace(day=1, hour=0, minute=0, second=0, microsecond=0))
    if start >= end:
        raise Invalid("`from` lies before `to`.", field="from")
    by = query.get("by") or groupings[0]
    if by not in groupings:
        raise ReportUnknown(f"This report groups by: {', '.join(groupings)}.", field="by")
    currency = query.get("currency", "").upper()
    if currency:
        exponent(currency)
    return Params(start, end, by, currency)


def _moment(query: Mapping[str, str], name: str, default: datetime) -> datetime:
    # A plus sign that nobody escaped arrives as a space.
    text = query.get(name, "").strip().replace(" ", "+")
    if not text:
        return default
    try:
        moment = parse_datetime(text) if "T" in text else None
        day = parse_date(text) if moment is None else None
    except ValueError as error:
        raise Invalid("There is no such day or time.", field=name) from error
    found = day or moment
    if found is not None and not _FIRST_YEAR <= found.year <= _LAST_YEAR:
        raise Invalid(f"Choose a year from {_FIRST_YEAR} to {_LAST_YEAR}.", field=name)
    if day is not None:
        return _midnight(day)
    if moment is None:
        raise Invalid("Give a day (2026-01-31) or a time (2026-01-31T00:00:00Z).", field=name)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time.min, tzinfo=UTC)
