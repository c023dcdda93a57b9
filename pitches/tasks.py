"""Scheduled work of pitches: wake-ups only; what there is to do stands in the rows."""

from celery import shared_task

from pitches import services
from teams.selectors import system_user


@shared_task(name="pitches.tasks.expire_offers")
def expire_offers() -> int:
    """Let offers expire whose day has passed and promote waitlists; returns how many expired.

    Safe to run twice, and at once.
    """
    expired = services.offers_expire(actor=system_user())
    services.waitlists_promote_due(actor=system_user())
    return len(expired)


@shared_task(name="pitches.tasks.start_reviews")
def start_reviews() -> int:
    """Close rounds for pitches whose last day has passed; returns how many. Safe to run twice, and at once."""
    return len(services.rounds_close_due(actor=system_user()))


@shared_task(name="pitches.tasks.prepare_rounds")
def prepare_rounds() -> int:
    """Prepare what comes after each recurring round; returns how many. Safe to run twice, and at once."""
    return len(services.rounds_prepare_due(actor=system_user()))


@shared_task(name="pitches.tasks.send_reminders")
def send_reminders() -> int:
    """Remind people of what waits for them before its deadline; returns how many. Safe to run twice, and at once."""
    return services.reminders_send()


@shared_task(name="pitches.tasks.make_choices")
def make_choices() -> int:
    """Compute the choices that were asked for; returns how many ended. Safe to run twice, and at once.

    Nothing else wakes it: a choice waits for the next of these messages, and one that is lost costs two seconds.
    """
    return services.choices_make_due()
