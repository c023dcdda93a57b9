"""The outbox: every notification leaves as one e-mail, claimed row by row so that no two senders take the same."""

import logging
from smtplib import SMTPException

from django.conf import settings
from django.core.mail import EmailMessage
from django.db import transaction
from django.db.models.functions import Now

from teams.models import Notification

BATCH = 200
MOST_REFUSED = 3
log = logging.getLogger(__name__)


def outbox_send(*, limit: int = BATCH) -> int:
    """Send up to `limit` unsent e-mails, oldest first; returns how many left.

    A row that another sender holds is skipped. A mail that the server refuses stays for the next run, which ends
    early when the server refuses several in a row. A crash between the server's yes and our commit sends one mail
    twice, never none.
    """
    sent, refused, last = 0, 0, 0
    for _ in range(limit):
        line, left = _send_next(last)
        if line is None or refused == MOST_REFUSED:
            break
        last, sent, refused = line.pk, sent + left, 0 if left else refused + 1
    return sent


@transaction.atomic
def _send_next(after: int) -> tuple[Notification | None, bool]:
    waiting = Notification.objects.select_for_update(skip_locked=True, of=("self",)).select_related("user")
    line = waiting.filter(pk__gt=after, emailed_at=None, user__is_active=True).order_by("pk").first()
    if line is None:
        return None, False
    try:
        _message(line).send()
    except (OSError, SMTPException) as error:
        log.warning("e-mail of notification %s was not sent and stays in the outbox: %s", line.pk, error)
        return line, False
    Notification.objects.filter(pk=line.pk).update(emailed_at=Now())
    return line, True


def _message(line: Notification) -> EmailMessage:
    where = f"{settings.TANK_URL}{line.url or '/inbox/'}"
    parts = [line.body, where] if line.body else [where]
    # A subject is one line: what came from people may hold a break.
    return EmailMessage(" ".join(line.title.split()), "\n\n".join(parts) + "\n", to=[line.user.email])
