"""R1: device time adds up, on every device, to the millisecond."""

from django.db import connection

from millrace.kernel.ids import typeid
from millrace.kernel.reconcile import LONGEST_LIST, Check, check
from mlops.models import DeviceSession, Disposition, Job, JobState, Segment

_DESCRIPTION = (
    "every device: billed + lost + idle = wall time under supervision; no overlaps; every billed millisecond is one "
    "usage event's, and the job's own sums agree"
)


@check("R1")
def device_time() -> Check:
    """Walks every session of every device, every job's sums, and every billed segment's usage event.

    Each part is one statement and so one moment: work that goes on meanwhile makes no differences.
    """
    checked = 0
    differences: list[str] = []
    for count, found in (_sessions(), _sessions_apart(), _jobs(), _usage()):
        checked += count
        differences += found
    return Check("R1", _DESCRIPTION, checked, differences[:LONGEST_LIST])


# Within each session: segments in order, none outside it, none over another; the gaps between them are the idle time,
# which is summed on its own, not taken as what is left.
_SESSIONS = """
    WITH held AS (
        SELECT session_id, start_ms, end_ms, disposition,
               LAG(end_ms) OVER (PARTITION BY session_id ORDER BY start_ms, end_ms) AS before_ms
        FROM mlops_segment
    )
    SELECT s.id, d.name, s.last_ms - s.started_ms, COUNT(h.start_ms),
           COALESCE(SUM(h.end_ms - h.start_ms) FILTER (WHERE h.disposition = 'billed'), 0),
           COALESCE(SUM(h.end_ms - h.start_ms) FILTER (WHERE h.disposition = 'lost'), 0),
           COALESCE(SUM(h.end_ms - h.start_ms) FILTER (WHERE h.disposition = 'pending'), 0),
           COALESCE(SUM(h.start_ms - COALESCE(h.before_ms, s.started_ms)) + s.last_ms - MAX(h.end_ms),
                    s.last_ms - s.started_ms),
           COUNT(*) FILTER (WHERE h.start_ms < COALESCE(h.before_ms, s.started_ms) OR h.end_ms > s.last_ms)
    FROM mlops_devicesession s JOIN mlops_device d ON d.id = s.device_id LEFT JOIN held h ON h.session_id = s.id
    GROUP BY s.id, d.name
"""


def _sessions() -> tuple[int, list[str]]:
    differences = []
    checked = 0
    for pk, device, wall, count, billed, lost, pending, idle, misplaced in _rows(_SESSIONS):
        checked += count
        name = f"{typeid(DeviceSession.PREFIX, pk)} on {device}"
        if misplaced:
            differences.append(f"{name}: {misplaced} segments overlap another or leave the session")
        if billed + lost + pending + idle != wall or idle < 0:
            differences.append(
                f"{name}: billed {billed} + lost {lost} + unsettled {pending} + idle {idle} is not the wall {wall} ms"
            )
    return checked, differences


_SESSIONS_APART = """
    SELECT id, name, started_ms, before_ms FROM (
        SELECT s.id, d.name, s.started_ms,
               LAG(s.last_ms) OVER (PARTITION BY s.device_id, s.boot_id ORDER BY s.started_ms) AS before_ms
        FROM mlops_devicesession s JOIN mlops_device d ON d.id = s.device_id
    ) AS one WHERE started_ms < before_ms
"""


def _sessions_apart() -> tuple[int, list[str]]:
    """Sessions of one device in one boot follow one another."""
    return DeviceSession.objects.count(), [
        f"{typeid(DeviceSession.PREFIX, pk)} on {device} begins at {started}, before the one before ends at {before}"
        for pk, device, started, before in _rows(_SESSIONS_APART)
    ]


_JOBS = """
    WITH held AS (
        SELECT g.job_id, g.start_ms, g.end_ms, g.disposition,
               LAG(g.end_ms) OVER (PARTITION BY g.job_id, s.boot_id ORDER BY g.start_ms, g.end_ms) AS before_ms
        FROM mlops_segment g JOIN mlops_devicesession s ON s.id = g.session_id WHERE g.job_id IS NOT NULL
    )
    SELECT j.id, j.state, j.billed_ms, j.lost_ms,
           COALESCE(SUM(h.end_ms - h.start_ms) FILTER (WHERE h.disposition = 'billed'), 0),
           COALESCE(SUM(h.end_ms - h.start_ms) FILTER (WHERE h.disposition = 'lost'), 0),
           COUNT(*) FILTER (WHERE h.disposition = 'pending'),
           COUNT(*) FILTER (WHERE h.start_ms < h.before_ms)
    FROM mlops_job j LEFT JOIN held h ON h.job_id = j.id GROUP BY j.id
"""


def _jobs() -> tuple[int, list[str]]:
    """A job's sums are its segments'; only a running job has unsettled ones; none overlap."""
    differences = []
    rows = _rows(_JOBS)
    for pk, state, billed, lost, billed_segments, lost_segments, pending, overlaps in rows:
        name = typeid(Job.PREFIX, pk)
        if (billed, lost) != (billed_segments, lost_segments):
            differences.append(
                f"{name}: billed {billed} and lost {lost} ms, its segments say {billed_segments} and {lost_segments}"
            )
        if pending and state != JobState.RUNNING:
            differences.append(f"{name} is {state} and has {pending} unsettled segments")
        if overlaps:
            differences.append(f"{name}: {overlaps} of its segments overlap")
    return len(rows), differences


_USAGE = """
    WITH held AS (
        SELECT tenant_id, 'segment:' || id AS key, meter, end_ms - start_ms AS ms
        FROM mlops_segment WHERE disposition = 'billed' AND end_ms > start_ms
    ), used AS (
        SELECT tenant_id, key, meter, quantity AS ms
        FROM billing_usageevent
        WHERE key LIKE 'segment:%' AND key NOT LIKE 'segment:%:%' AND meter NOT LIKE 'own:%'
    )
    SELECT key, held.ms, used.ms FROM held FULL JOIN used USING (tenant_id, key, meter)
    WHERE held.ms IS DISTINCT FROM used.ms ORDER BY key LIMIT 50
"""


def _usage() -> tuple[int, list[str]]:
    """Billed segments and usage events are the same milliseconds."""
    rows = _rows(_USAGE)
    count = Segment.objects.filter(disposition=Disposition.BILLED).count()
    return count, [f"{key}: the segment has {held} ms, the usage event {used}" for key, held, used in rows]


def _rows(statement: str) -> list[tuple]:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchall()
