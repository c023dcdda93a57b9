"""E-mails: in the rhythm that each chose, once each, tried again when the server refuses, and given up in sight."""

import re
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from email import message_from_string
from pathlib import Path
from smtplib import SMTPRecipientsRefused
from typing import Any

import pytest
from django.core import mail
from django.core.mail import EmailMultiAlternatives
from django.core.mail.backends.base import BaseEmailBackend
from django.db import DatabaseError, connection, transaction

from teams import services
from teams.errors import NotAllowed, Refused, WrongState
from teams.mail import PAUSES, digests_wrap, message_id, outbox_send
from teams.models import MailRhythm, MailState, Notification, OutgoingMail, User
from teams.selectors import inbox, unread_count
from tests.cast import Company, build_company
from tests.conftest import FreshDatabase
from tests.databases import ROOT
from tests.pages import page_of
from tests.processes import until

NOON = datetime(2026, 12, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
PLACE = f"{__name__}."


class Down(BaseEmailBackend):
    """A mail server that is away."""

    def send_messages(self, email_messages: Any) -> int:
        raise ConnectionRefusedError("connection refused")


class NoSuchMailbox(BaseEmailBackend):
    """A mail server that knows nobody."""

    def send_messages(self, email_messages: Any) -> int:
        raise SMTPRecipientsRefused({email_messages[0].to[0]: (550, b"no such mailbox")})


class Greylisting(BaseEmailBackend):
    """A mail server that wants to be asked again."""

    def send_messages(self, email_messages: Any) -> int:
        raise SMTPRecipientsRefused({email_messages[0].to[0]: (450, b"try again")})


class Deadly(BaseEmailBackend):
    """A mail server that takes the mail, and our process dies before it can say so."""

    def send_messages(self, email_messages: Any) -> int:
        import os

        Path(os.environ["TAKEN"]).write_text(email_messages[0].message().as_string())
        os.kill(os.getpid(), signal.SIGKILL)
        return 1


def say(user: User, title: str, at: datetime = NOON - timedelta(hours=1), **more: Any) -> Notification:
    line = services.notification_send(user=user, title=title, **more)
    Notification.objects.filter(pk=line.pk).update(created_at=at)
    return line


def choose(user: User, rhythm: MailRhythm) -> None:
    services.mail_rhythm_set(actor=user, rhythm=rhythm)


def subjects() -> list[tuple[str, str]]:
    return [(message.to[0].partition("@")[0], str(message.subject)) for message in mail.outbox]


@pytest.mark.django_db
def test_each_gets_mail_in_the_rhythm_that_they_chose(company: Company) -> None:
    choose(company.bo, MailRhythm.DAILY)
    choose(company.cy, MailRhythm.NONE)
    for person in (company.ana, company.bo, company.cy):
        say(person, "First")
        say(person, "Second")

    assert outbox_send(at=NOON) == 3
    assert subjects() == [("ana", "First"), ("ana", "Second"), ("bo", "Your day in Tank: 2 things")]
    assert unread_count(company.cy) == 2  # the inbox has all of it


@pytest.mark.django_db
def test_a_digest_holds_what_was_said_since_the_last_one_and_leaves_once_a_day(company: Company, settings: Any) -> None:
    settings.TIME_ZONE_LOCAL, settings.DIGEST_HOUR = "Europe/Berlin", 7
    choose(company.bo, MailRhythm.DAILY)
    morning = datetime(2026, 12, 1, 6, tzinfo=UTC)  # 07:00 in Berlin
    say(company.bo, "Yesterday", morning - timedelta(hours=5))

    assert outbox_send(at=morning - timedelta(minutes=1)) == 0
    assert outbox_send(at=morning) == 1
    say(company.bo, "Today", morning + timedelta(hours=1))
    assert outbox_send(at=morning + timedelta(hours=2)) == 0
    assert outbox_send(at=morning + DAY - timedelta(minutes=1)) == 0
    assert outbox_send(at=morning + DAY) == 1
    assert outbox_send(at=morning + 2 * DAY) == 0  # nothing was said

    assert [("Yesterday" in one.body, "Today" in one.body) for one in mail.outbox] == [(True, False), (False, True)]


@pytest.mark.django_db
@pytest.mark.parametrize("day", ["2026-03-29", "2026-10-25"])
def test_on_the_days_on_which_the_clocks_change_a_digest_leaves_once(company: Company, settings: Any, day: str) -> None:
    settings.TIME_ZONE_LOCAL, settings.DIGEST_HOUR = "Europe/Berlin", 2
    choose(company.bo, MailRhythm.DAILY)
    midnight = datetime.fromisoformat(f"{day}T00:00+00:00") - timedelta(hours=2)
    say(company.bo, "News", midnight - DAY)

    sent = [outbox_send(at=midnight + timedelta(minutes=30 * step)) for step in range(40)]

    assert sum(sent) == 1


@pytest.mark.django_db
def test_two_runs_for_one_digest_make_one(company: Company) -> None:
    choose(company.bo, MailRhythm.DAILY)
    say(company.bo, "News")

    assert (digests_wrap(NOON), digests_wrap(NOON)) == (1, 0)


@pytest.mark.django_db
def test_a_mail_is_plain_text_and_the_same_as_html(company: Company, settings: Any) -> None:
    settings.TANK_URL = "https://tank.acorn.example"
    say(company.bo, "An <offer> & more", body="Answer <it>.\nSoon.", url="/pitches/1/offer/")
    outbox_send(at=NOON)

    [message] = mail.outbox
    assert isinstance(message, EmailMultiAlternatives)
    [(content, kind)] = message.alternatives
    html, plain = str(content), str(message.body)
    assert kind == "text/html"
    assert "An &lt;offer&gt; &amp; more" in html
    assert "Answer &lt;it&gt;.<br>Soon." in html
    assert "Answer <it>.\nSoon." in plain
    for said in (html, plain):
        assert "https://tank.acorn.example/pitches/1/offer/" in said
        assert "https://tank.acorn.example/profile/mail/" in said
    assert not re.search(r"<script|src=|url\(", html)
    assert message.extra_headers["Auto-Submitted"] == "auto-generated"


@pytest.mark.django_db
def test_a_server_that_is_away_is_asked_less_and_less_often_and_then_given_up(company: Company, settings: Any) -> None:
    settings.EMAIL_BACKEND = PLACE + "Down"
    say(company.bo, "News")
    at, tries = NOON, []

    for _ in range(len(PAUSES) + 1):
        assert outbox_send(at=at) == 0
        one = OutgoingMail.objects.get()
        tries.append((one.state, one.attempts, one.next_attempt_at and one.next_attempt_at - at))
        assert outbox_send(at=at + timedelta(seconds=1)) == 0
        assert OutgoingMail.objects.get().attempts == one.attempts  # its turn has not come
        at = one.next_attempt_at or at

    assert tries == [("waiting", place, pause) for place, pause in enumerate(PAUSES, start=1)] + [("failed", 9, None)]
    assert "connection refused" in OutgoingMail.objects.get().last_error


@pytest.mark.django_db
@pytest.mark.parametrize(("server", "state"), [("NoSuchMailbox", "failed"), ("Greylisting", "waiting")])
def test_an_address_that_does_not_exist_is_given_up_at_once(
    company: Company, settings: Any, server: str, state: str
) -> None:
    settings.EMAIL_BACKEND = PLACE + server
    say(company.bo, "News")
    outbox_send(at=NOON)

    one = OutgoingMail.objects.get()
    assert (one.state, one.attempts) == (state, 1)


@pytest.mark.django_db
def test_a_platform_admin_sees_what_was_given_up_and_tries_it_again(company: Company, settings: Any) -> None:
    settings.EMAIL_BACKEND = PLACE + "NoSuchMailbox"
    say(company.bo, "A secret of Bo's")
    outbox_send(at=NOON)
    failed = OutgoingMail.objects.get()
    ivo, path = company.client(company.ivo), "/admin/teams/outgoingmail/"

    shown = page_of(ivo.get(path)).text
    assert "Given up" in shown
    assert "no such mailbox" in shown
    assert "A secret of Bo's" not in shown + page_of(ivo.get(f"{path}{failed.pk}/change/")).text
    assert page_of(ivo.get("/")).one("nav", aria_label="Main").all("a", href=path)[0].text == "E-mail 1"
    assert [company.client(company.person(name)).get(path).status_code for name in ("ana", "dee", "hana")] == [
        302,
        403,
        302,
    ]
    with pytest.raises(NotAllowed):
        services.mail_retry(actor=company.jo, mail=failed)

    ivo.post(path, {"action": "retry", "_selected_action": [failed.pk]})

    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    assert outbox_send() == 1
    with pytest.raises(WrongState):
        services.mail_retry(actor=company.ivo, mail=failed)


@pytest.mark.django_db
def test_what_is_said_once_is_said_once(company: Company) -> None:
    first = services.notification_send(user=company.bo, title="Seven days left", key="remind:1")
    again = services.notification_send(user=company.bo, title="Seven days left", key="remind:1")
    services.notification_send(user=company.ana, title="Seven days left", key="remind:1")

    assert again == first
    assert outbox_send() == 2


@pytest.mark.django_db
def test_who_wants_no_mail_any_more_gets_none_of_what_still_waits(company: Company) -> None:
    choose(company.bo, MailRhythm.DAILY)
    say(company.bo, "News")
    choose(company.bo, MailRhythm.NONE)
    choose(company.bo, MailRhythm.AT_ONCE)
    say(company.bo, "Later")

    outbox_send(at=NOON)

    assert subjects() == [("bo", "Later")]


@pytest.mark.django_db
def test_the_page_of_ones_mail(company: Company) -> None:
    bo = company.client(company.bo)
    page = page_of(bo.get("/profile/mail/"))
    assert [one.attrs["value"] for one in page.all("input", type="radio") if "checked" in one.attrs] == ["at_once"]

    assert bo.post("/profile/mail/", {"rhythm": "hourly"}).status_code == 422
    assert bo.post("/profile/mail/", {"rhythm": "daily"})["Location"] == "/profile/mail/"

    assert User.objects.get(pk=company.bo.pk).mail_rhythm == "daily"
    assert company.client().get("/profile/mail/").status_code == 302
    with pytest.raises(Refused):
        services.mail_rhythm_set(actor=company.bo, rhythm="hourly")


@pytest.mark.django_db
def test_the_inbox_shows_all_or_what_is_unread_or_read(company: Company) -> None:
    say(company.bo, "Old news")
    services.inbox_read(actor=company.bo)
    say(company.bo, "Fresh news")
    bo = company.client(company.bo)

    def shown(query: str) -> list[bool]:
        said = page_of(bo.get(f"/inbox/{query}")).one("section", aria_label="Notifications").text
        return ["Old news" in said, "Fresh news" in said]

    assert [shown(query) for query in ("", "?show=unread", "?show=read", "?show=' OR 1=1")] == [
        [True, True],
        [False, True],
        [True, False],
        [True, True],
    ]
    assert [line.title for line in inbox(company.bo, unread=True)] == ["Fresh news"]


@pytest.mark.django_db
def test_the_run_time_role_cannot_send_a_mail_to_somebody_else_or_lose_it(company: Company) -> None:
    say(company.bo, "News")
    outbox_send(at=NOON)

    for change in ({"user": company.cy}, {"key": "another"}):
        with pytest.raises(DatabaseError, match="permission denied"), transaction.atomic():
            OutgoingMail.objects.update(**change)
    with connection.cursor() as cursor, pytest.raises(DatabaseError, match="permission denied"), transaction.atomic():
        cursor.execute("DELETE FROM teams_outgoingmail")


DIE = """
import django
django.setup()
from teams.mail import outbox_send
outbox_send()
"""


def test_a_process_that_dies_after_the_server_said_yes_sends_it_again_with_the_same_name(
    fresh_database: FreshDatabase, tmp_path: Path
) -> None:
    bo = build_company().bo
    services.notification_send(user=bo, title="News")
    taken = tmp_path / "taken"
    starter = f"from django.conf import settings; settings.EMAIL_BACKEND = '{PLACE}Deadly'"
    env = fresh_database.env | {"TAKEN": str(taken), "DJANGO_SETTINGS_MODULE": "marketplace.settings"}

    done = subprocess.run([sys.executable, "-c", f"{starter}\n{DIE}"], env=env, cwd=ROOT, check=False)

    assert done.returncode == -signal.SIGKILL
    until(taken.exists)
    # The row's lock dies with its process; the server notices that a moment later.
    until(lambda: outbox_send() == 1)
    [again] = mail.outbox
    name = message_id(OutgoingMail.objects.get().key)
    assert message_from_string(taken.read_text())["Message-ID"] == again.extra_headers["Message-ID"] == name
    assert (OutgoingMail.objects.get().state, outbox_send()) == (MailState.SENT, 0)
