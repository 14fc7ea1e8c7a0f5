"""The Celery application. Celery rings doorbells; PostgreSQL holds the truth."""

import os
import warnings

from celery import Celery
from celery.platforms import SecurityWarning
from celery.schedules import schedule

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "millrace.settings.dev")

# A worker's container on a laptop is often root's, where Celery prints six lines at every start. Production runs as a
# user without rights: the images and the systemd unit see to that, and tests/deploy holds them to it.
warnings.filterwarnings("ignore", message="You're running the worker with superuser", category=SecurityWarning)

app = Celery("millrace")
app.config_from_object("django.conf:settings", namespace="CELERY")
# Not forced: `celery -A millrace` imports this module before Django is set up, and tasks import models.
app.autodiscover_tasks()
# Doorbells get lost; beat rings them all again. Each task looks for work and does nothing where there is none.
app.conf.beat_schedule = {
    "drain-outbox": {"task": "kernel.drain_outbox", "schedule": schedule(5), "options": {"expires": 10}},
    "reap-jobs": {"task": "mlops.reap", "schedule": schedule(15), "options": {"expires": 15}},
    "handle-stripe-events": {
        "task": "billing.handle_stripe_events",
        "schedule": schedule(10),
        "options": {"expires": 20},
    },
    # A little every ten minutes: each run deletes a bounded number, and the next goes on where it ended.
    "purge-idempotency": {"task": "kernel.purge_idempotency", "schedule": schedule(600), "options": {"expires": 600}},
    "purge-outbox": {"task": "kernel.purge_outbox", "schedule": schedule(600), "options": {"expires": 600}},
    "purge-sessions": {"task": "kernel.purge_sessions", "schedule": schedule(3600), "options": {"expires": 3600}},
    "purge-checkpoints": {"task": "mlops.purge_checkpoints", "schedule": schedule(600), "options": {"expires": 600}},
}
