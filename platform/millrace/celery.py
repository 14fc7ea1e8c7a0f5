"""The Celery application. Celery rings doorbells; PostgreSQL holds the truth."""

import os

from celery import Celery
from celery.schedules import schedule

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "millrace.settings.dev")

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
}
