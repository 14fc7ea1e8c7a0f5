"""What the devices did, and what they cost: for the company's own people."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from django.db import connection

from millrace.kernel.money import Money, round_minor
from millrace.kernel.tenancy import platform_scope

_MS_PER_HOUR = 3_600_000


@dataclass(frozen=True)
class DeviceRow:
    """One device's time in a period, in milliseconds: billed + lost + pending + idle = wall."""

    device_id: UUID
    name: str
    device_class: str
    wall_ms: int
    billed_ms: int
    lost_ms: int
    pending_ms: int
    cost: Money

    @property
    def idle_ms(self) -> int:
        """Supervised, and nobody's."""
        return self.wall_ms - self.billed_ms - self.lost_ms - self.pending_ms

    @property
    def utilisation(self) -> float | None:
        """Billed share of the wall time; None without any."""
        return round(self.billed_ms / self.wall_ms, 4) if self.wall_ms else None


# A session's boot-clock readings are placed in business time by the moment it began; what crosses the period's ends is
# cut there.
_REPORT = """
    WITH placed AS (
        SELECT s.id, s.device_id,
               s.started_ms, s.last_ms,
               s.started_ms + (EXTRACT(EPOCH FROM (%s::timestamptz - s.created_at)) * 1000)::bigint AS low,
               s.started_ms + (EXTRACT(EPOCH FROM (%s::timestamptz - s.created_at)) * 1000)::bigint AS high
        FROM mlops_devicesession s
    ), bounds AS (
        SELECT * FROM placed WHERE last_ms > low AND started_ms < high
    ), walls AS (
        SELECT device_id, SUM(GREATEST(0, LEAST(last_ms, high) - GREATEST(started_ms, low))) AS wall
        FROM bounds GROUP BY device_id
    ), held AS (
        SELECT b.device_id, g.disposition, SUM(GREATEST(0, LEAST(g.end_ms, b.high) - GREATEST(g.start_ms, b.low))) AS ms
        FROM bounds b JOIN mlops_segment g ON g.session_id = b.id AND g.end_ms > b.low AND g.start_ms < b.high
        GROUP BY b.device_id, g.disposition
    )
    SELECT d.id, d.name, d.device_class, d.hourly_cost, d.cost_currency, COALESCE(w.wall, 0),
           COALESCE(SUM(h.ms) FILTER (WHERE h.disposition = 'billed'), 0),
           COALESCE(SUM(h.ms) FILTER (WHERE h.disposition = 'lost'), 0),
           COALESCE(SUM(h.ms) FILTER (WHERE h.disposition = 'pending'), 0)
    FROM mlops_device d LEFT JOIN walls w ON w.device_id = d.id LEFT JOIN held h ON h.device_id = d.id
    GROUP BY d.id, d.name, d.device_class, d.hourly_cost, d.cost_currency, w.wall
    ORDER BY d.name
"""


def device_report(*, since: datetime, until: datetime) -> list[DeviceRow]:
    """Every device's time from `since` to before `until`, and what it cost the company."""
    with platform_scope(reason="devices belong to the platform"), connection.cursor() as cursor:
        cursor.execute(_REPORT, [since, until])
        rows = cursor.fetchall()
    return [
        DeviceRow(
            device_id=row[0],
            name=row[1],
            device_class=row[2],
            wall_ms=int(row[5]),
            billed_ms=int(row[6]),
            lost_ms=int(row[7]),
            pending_ms=int(row[8]),
            cost=Money(round_minor(Decimal(row[3]) * int(row[5]) / _MS_PER_HOUR), row[4]),
        )
        for row in rows
    ]
