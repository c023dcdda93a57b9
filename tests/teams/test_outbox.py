"""The outbox: every notification leaves as one e-mail."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core import mail
from django.core.mail.backends.base import BaseEmailBackend
from django.db import connection

from teams import services
from teams.mail import outbox_send
from teams.models import Notification
from teams.tasks import send_outbox
from tests.cast import Company, build_company
from tests.conftest import FreshDatabase


class Choosy(BaseEmailBackend):
    """A mail server that takes no mail for Cy."""

    def send_messages(self, email_messages: Any) -> int:
        if any("cy@acorn.example" in message.to for message in email_messages):
            raise ConnectionRefusedError("mailbox unavailable")
        mail.outbox.extend(email_messages)
        return len(email_messages)


@pytest.mark.django_db
def test_each_notification_leaves_once_with_a_link_to_the_page(company: Company, settings: Any) -> None:
    settings.TANK_URL = "https://tank.acorn.example"
    services.notification_send(user=company.bo, title="An offer\nfor you", body="Answer it.", url="/pitches/1/offer/")
    services.notification_send(user=company.ana, title="You are in Claims")

    assert send_outbox() == 2
    assert send_outbox() == 0

    first, second = mail.outbox
    assert (first.to, first.subject) == (["bo@acorn.example"], "An offer for you")
    foot = "\n\n-- \nHow often Tank writes to you: https://tank.acorn.example/profile/mail/\n"
    assert first.body == "Answer it.\n\nhttps://tank.acorn.example/pitches/1/offer/" + foot
    assert second.body == "https://tank.acorn.example/inbox/" + foot


@pytest.mark.django_db
def test_a_refused_mail_stays_and_does_not_stop_the_others(company: Company, settings: Any) -> None:
    settings.EMAIL_BACKEND = "tests.teams.test_outbox.Choosy"
    for person in (company.bo, company.cy, company.ana):
        services.notification_send(user=person, title="News")

    assert outbox_send() == 2
    assert [line.user for line in Notification.objects.filter(emailed_at=None)] == [company.cy]

    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    assert outbox_send() == 0  # its turn has not come yet
    assert outbox_send(at=datetime.now(UTC) + timedelta(minutes=2)) == 1


@pytest.mark.django_db
def test_who_left_the_company_gets_no_mail(company: Company) -> None:
    services.notification_send(user=company.cy, title="News")
    services.user_active_set(actor=company.ivo, user=company.cy, active=False, reason="left")

    assert outbox_send() == 0


def test_two_senders_at_once_send_each_mail_once(fresh_database: FreshDatabase) -> None:
    bo = build_company().bo
    for n in range(20):
        services.notification_send(user=bo, title=f"News {n}")

    def send(_: int) -> int:
        try:
            return outbox_send()
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as pool:
        sent = list(pool.map(send, range(2)))

    assert sum(sent) == 20
    assert sorted(message.subject for message in mail.outbox) == sorted(f"News {n}" for n in range(20))
