"""A job's states and the ways between them: stands once, here."""

from django.db import models


class JobState(models.TextChoices):
    """A job's life."""

    VALIDATING = "validating"
    QUEUED = "queued"
    RUNNING = "running"
    PAUSED = "paused"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"
    ABORTED = "aborted"


# Failed: the job's own fault, told in its reason. Aborted: the platform's; nobody is billed for what it lost.
MAY_BECOME: dict[str, frozenset[str]] = {
    JobState.VALIDATING: frozenset({JobState.QUEUED, JobState.FAILED}),
    JobState.QUEUED: frozenset({JobState.RUNNING, JobState.CANCELED, JobState.ABORTED}),
    JobState.RUNNING: frozenset(
        {
            JobState.QUEUED,
            JobState.PAUSED,
            JobState.SUCCEEDED,
            JobState.FAILED,
            JobState.CANCELED,
            JobState.ABORTED,
        }
    ),
    JobState.PAUSED: frozenset({JobState.QUEUED, JobState.CANCELED}),
    JobState.FAILED: frozenset({JobState.QUEUED}),
    JobState.ABORTED: frozenset({JobState.QUEUED}),
    JobState.SUCCEEDED: frozenset(),
    JobState.CANCELED: frozenset(),
}
# In these nothing more happens by itself: the event stream ends and the reservation is given back.
AT_REST = frozenset({JobState.PAUSED, JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELED, JobState.ABORTED})
# These are over, though a person may start some of them once more; a paused one only waits.
ENDED = AT_REST - {JobState.PAUSED}
RESUMABLE = frozenset(state for state, ways in MAY_BECOME.items() if state in AT_REST and JobState.QUEUED in ways)


def may_become(before: str, after: str) -> bool:
    """Whether a job may go from one state to the other."""
    return after in MAY_BECOME[before]
