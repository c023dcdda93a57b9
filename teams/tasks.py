"""Scheduled work of this floor: the outbox of e-mails, and webhooks."""

from celery import shared_task

from teams.mail import outbox_send
from teams.webhook_sending import deliveries_send


@shared_task
def send_outbox() -> int:
    """Send the e-mails of notifications that have none yet; returns how many left. Safe to run twice, and at once."""
    return outbox_send()


@shared_task
def send_webhooks() -> int:
    """Send the webhook deliveries that are due; returns how many were tried. Safe to run twice, and at once."""
    return deliveries_send()
