"""The outbox: notifications leave as e-mails, each person's in the rhythm that they chose.

First notifications get an e-mail that carries them: one each, or a day's all in one. Then every e-mail that is due is
claimed row by row, so that no two senders take the same, written, and sent. A crash between the server's yes and our
commit sends one e-mail twice, with the same Message-ID, and never none.
"""

import hashlib
import logging
from datetime import UTC, datetime, timedelta
from email.utils import parseaddr
from smtplib import SMTPException, SMTPRecipientsRefused
from zoneinfo import ZoneInfo

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.db import transaction
from django.db.models import QuerySet
from django.template.loader import render_to_string

from teams.models import MailKind, MailRhythm, MailState, Notification, OutgoingMail, User
from teams.withheld import lines_open_to

BATCH = 200
MOST_REFUSED = 3
PAUSES = tuple(timedelta(minutes=minutes) for minutes in (1, 5, 15, 60, 180, 360, 720, 1440))
"""How long to wait after each attempt that failed; after the last one the e-mail is given up, two days on."""
log = logging.getLogger(__name__)


def outbox_send(*, limit: int = BATCH, at: datetime | None = None) -> int:
    """Send up to `limit` e-mails that are due, oldest first; returns how many left. Safe to run twice, and at once.

    An e-mail that the server refuses waits longer each time; the run ends early when several are refused in a row.
    """
    now = at or datetime.now(UTC)
    notices_wrap(now, limit=limit)
    digests_wrap(now)
    sent, refused, last = 0, 0, 0
    for _ in range(limit):
        mail = _send_next(last, now)
        if mail is None or refused == MOST_REFUSED:
            break
        left = mail.state == MailState.SENT
        last, sent, refused = mail.pk, sent + left, refused + 1 if mail.last_error else 0
    return sent


def _unwrapped() -> QuerySet[Notification]:
    rows = Notification.objects.select_for_update(skip_locked=True, of=("self",)).select_related("user")
    return rows.filter(wants_mail=True, mail=None, emailed_at=None, user__is_active=True).order_by("pk")


@transaction.atomic
def notices_wrap(at: datetime, *, limit: int = BATCH) -> int:
    """Give each notification of those who want them at once an e-mail of its own; returns how many."""
    lines = list(_unwrapped().filter(user__mail_rhythm=MailRhythm.AT_ONCE)[:limit])
    for line in lines:
        line.mail = OutgoingMail.objects.create(
            user=line.user, kind=MailKind.NOTICE, key=f"notice:{line.pk}", next_attempt_at=at
        )
    Notification.objects.bulk_update(lines, ["mail"])
    return len(lines)


def digests_wrap(at: datetime) -> int:
    """Give what was said since the last digest to those who want it once a day one e-mail; returns how many digests.

    It is time for them from `DIGEST_HOUR` of the day in `TIME_ZONE_LOCAL` on, once for each date.
    """
    local = at.astimezone(ZoneInfo(settings.TIME_ZONE_LOCAL))
    if local.hour < settings.DIGEST_HOUR:
        return 0
    waiting = Notification.objects.filter(wants_mail=True, mail=None, emailed_at=None, created_at__lte=at)
    people = User.objects.filter(is_active=True, mail_rhythm=MailRhythm.DAILY, notifications__in=waiting).distinct()
    return sum(_digest_wrap(person, f"digest:{person.pk}:{local:%Y-%m-%d}", at) for person in people.order_by("pk"))


@transaction.atomic
def _digest_wrap(person: User, key: str, at: datetime) -> bool:
    User.objects.select_for_update(no_key=True).get(pk=person.pk)
    if OutgoingMail.objects.filter(key=key).exists():
        return False
    lines = list(_unwrapped().filter(user=person, created_at__lte=at))
    if not lines:
        return False
    mail = OutgoingMail.objects.create(user=person, kind=MailKind.DIGEST, key=key, next_attempt_at=at)
    Notification.objects.filter(pk__in=[line.pk for line in lines]).update(mail=mail)
    return True


@transaction.atomic
def _send_next(after: int, at: datetime) -> OutgoingMail | None:
    waiting = OutgoingMail.objects.select_for_update(skip_locked=True, of=("self",)).select_related("user")
    due = waiting.filter(pk__gt=after, state=MailState.WAITING, next_attempt_at__lte=at, user__is_active=True)
    mail = due.order_by("pk").first()
    if mail is None:
        return None
    lines = list(lines_open_to(mail.user, mail.lines.order_by("pk")))
    if not lines:
        return _store(mail, MailState.DROPPED, "")
    mail.attempts += 1
    try:
        mail_message(mail, lines).send()
    except (OSError, SMTPException) as error:
        return _refused(mail, error, at)
    mail.sent_at = at
    mail.lines.filter(pk__in=[line.pk for line in lines]).update(emailed_at=at)
    return _store(mail, MailState.SENT, "")


def _refused(mail: OutgoingMail, error: OSError | SMTPException, at: datetime) -> OutgoingMail:
    log.warning("e-mail %s was not sent at attempt %s: %s", mail.key, mail.attempts, error)
    words = f"{type(error).__name__}: {error}"[:300]
    if _is_final(error) or mail.attempts > len(PAUSES):
        return _store(mail, MailState.FAILED, words)
    mail.next_attempt_at = at + PAUSES[mail.attempts - 1]
    return _store(mail, MailState.WAITING, words)


def _is_final(error: OSError | SMTPException) -> bool:
    """Say whether the server will never take this: it knows no such mailbox (RFC 5321, 5yz)."""
    if not isinstance(error, SMTPRecipientsRefused):
        return False
    return all(500 <= code < 600 for code, _ in error.recipients.values())


def _store(mail: OutgoingMail, state: MailState, error: str) -> OutgoingMail:
    mail.state, mail.last_error = state, error
    if state != MailState.WAITING:
        mail.next_attempt_at = None
    mail.save(update_fields=["state", "attempts", "next_attempt_at", "sent_at", "last_error"])
    return mail


def mail_message(mail: OutgoingMail, lines: list[Notification]) -> EmailMultiAlternatives:
    """Write an e-mail from its lines: plain text, and the same as simple HTML."""
    context = {
        "lines": lines,
        "reader": mail.user,
        "site": settings.TANK_URL,
        "is_digest": mail.kind == MailKind.DIGEST,
    }
    # A subject is one line: what came from people may hold a break.
    title = " ".join(lines[0].title.split())
    count = f"{len(lines)} thing{'' if len(lines) == 1 else 's'}"
    message = EmailMultiAlternatives(
        f"Your day in Tank: {count}" if mail.kind == MailKind.DIGEST else title,
        render_to_string("teams/mail/lines.txt", context).strip() + "\n",
        to=[mail.user.email],
        headers={"Message-ID": message_id(mail.key), "Auto-Submitted": "auto-generated"},
    )
    message.attach_alternative(render_to_string("teams/mail/lines.html", context), "text/html")
    return message


def message_id(key: str) -> str:
    """Return the Message-ID of an e-mail's key: the same for every attempt (RFC 5322, 3.6.4)."""
    host = parseaddr(settings.DEFAULT_FROM_EMAIL)[1].partition("@")[2] or "tank.invalid"
    return f"<{hashlib.sha256(f'{settings.TANK_URL} {key}'.encode()).hexdigest()[:40]}@{host}>"
