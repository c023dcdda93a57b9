"""Background work: tasks are wake-ups over rows, so one that runs twice or is lost does no harm.

celery -A marketplace.celery worker
celery -A marketplace.celery beat
"""

import os
from pathlib import Path

from celery import Celery
from celery.schedules import crontab
from django.conf import settings
from kombu.transport import TRANSPORT_ALIASES

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "marketplace.settings")
TRANSPORT_ALIASES["filesystem"] = "marketplace.broker:Transport"

app = Celery("tank")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
app.set_default()

NIGHT = {"expires": 6 * 3600}

# A message that waited longer than its period is dropped: the next one does its work.
app.conf.beat_schedule = {
    "sweep": {"task": "allocations.tasks.sweep", "schedule": 15.0, "options": {"expires": 15}},
    "alerts": {"task": "allocations.tasks.raise_threshold_alerts", "schedule": 60.0, "options": {"expires": 60}},
    # Projections move by the day; the hourly roll-up that they read has just been made.
    "burn": {
        "task": "allocations.tasks.raise_burn_alerts",
        "schedule": crontab(minute="10"),
        "options": {"expires": 3600},
    },
    "outbox": {"task": "teams.tasks.send_outbox", "schedule": 30.0, "options": {"expires": 30}},
    "webhooks": {"task": "teams.tasks.send_webhooks", "schedule": 5.0, "options": {"expires": 5}},
    "reviews": {"task": "pitches.tasks.start_reviews", "schedule": 60.0, "options": {"expires": 60}},
    "offers": {"task": "pitches.tasks.expire_offers", "schedule": 60.0, "options": {"expires": 60}},
    "choices": {"task": "pitches.tasks.make_choices", "schedule": 2.0, "options": {"expires": 2}},
    "rounds": {
        "task": "pitches.tasks.prepare_rounds",
        "schedule": crontab(minute="15"),
        "options": {"expires": 3600},
    },
    "reminders": {
        "task": "pitches.tasks.send_reminders",
        "schedule": crontab(minute="25"),
        "options": {"expires": 3600},
    },
    "usage": {"task": "ledger.tasks.post_usage", "schedule": crontab(minute="5"), "options": {"expires": 3600}},
    # After the hourly posting, so that both sides of the latest days are in.
    "feeds": {"task": "ledger.tasks.fetch_feeds", "schedule": crontab(minute="35"), "options": {"expires": 3600}},
    "stale": {"task": "ledger.tasks.tell_stale", "schedule": crontab(minute="50"), "options": {"expires": 3600}},
    "reread": {"task": "ledger.tasks.reread_feeds", "schedule": crontab(hour="3", minute="20"), "options": NIGHT},
    "files": {"task": "ledger.tasks.read_files", "schedule": 2.0, "options": {"expires": 2}},
    "clear_files": {"task": "ledger.tasks.clear_files", "schedule": crontab(hour="4", minute="20"), "options": NIGHT},
    # The night, UTC: partitions ahead, then all that is open once more, then the proof of what came out.
    "partitions": {
        "task": "ledger.tasks.make_partitions",
        "schedule": crontab(hour="0", minute="20"),
        "options": NIGHT,
    },
    "usage_open": {
        "task": "ledger.tasks.post_usage_open",
        "schedule": crontab(hour="1", minute="20"),
        "options": NIGHT,
    },
    "verify": {"task": "ledger.tasks.verify_nightly", "schedule": crontab(hour="2", minute="20"), "options": NIGHT},
}

for folder in app.conf.broker_transport_options.values():
    if settings.CELERY_BROKER_URL.startswith("filesystem:"):
        Path(folder).mkdir(parents=True, exist_ok=True)
