"""Takes jobs back from workers that fell silent, so that none is `running` for ever (J8)."""

from django.db import transaction

from millrace.kernel.db import DbNow
from millrace.kernel.tenancy import platform_scope
from mlops import policy
from mlops.models import Job, JobState
from mlops.services.devices import sessions_reap
from mlops.services.outcomes import job_retry, job_settle_reservation
from mlops.services.segments import segments_settle_pending
from mlops.services.transitions import job_become


def jobs_reap(*, limit: int = 100) -> int:
    """Queue again, from its last checkpoint, every job whose lease ran out; give up after policy.MAX_ATTEMPTS.

    What the dead epoch had not settled is closed where it was last heard of, and is the platform's loss. Safe to run
    anywhere, any number of times, at once. Returns how many jobs were taken back.
    """
    taken = 0
    with platform_scope(reason="leases run out in every tenant"):
        while taken < limit and _reap_one():
            taken += 1
        sessions_reap()
    return taken


def _reap_one() -> bool:
    with transaction.atomic():
        expired = Job.objects.filter(state=JobState.RUNNING, lease_until__lte=DbNow())
        job = expired.select_for_update(skip_locked=True, of=("self",)).order_by("lease_until").first()
        if job is None:
            return False
        segments_settle_pending(job, epoch=job.epoch, billable=False)
        if job.stop_asked:
            job_become(job, JobState.CANCELED, code="canceled", reason="its worker fell silent while it was stopped")
        else:
            seconds = int(policy.lease().total_seconds())
            job_retry(job, code="worker_lost", reason=f"its worker gave no sign of life for {seconds} seconds")
        job_settle_reservation(job)
        return True
