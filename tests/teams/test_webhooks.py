"""Webhooks: signed, sent once, tried again, kept out of our own network."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from typing import Any

import pytest
from django.db import ProgrammingError, connection, transaction
from standardwebhooks.webhooks import WebhookVerificationError

from teams import encryption, webhook_services
from teams.errors import NotAllowed, Refused, WrongState
from teams.models import AuditEvent, DeliveryState, Notification, Webhook, WebhookDelivery, WebhookEvent
from teams.tasks import send_webhooks
from teams.webhook_sending import DISABLE_AFTER, LEASE, MOST_ATTEMPTS, delay_after, deliveries_send
from teams.webhook_services import (
    delivery_repeat,
    event_send,
    webhook_create,
    webhook_disable,
    webhook_enable,
    webhook_rotate,
    webhook_test,
)
from tests.cast import Company, build_company
from tests.conftest import FreshDatabase
from tests.receivers import Receiver, receiver

LOCAL = [ip_network("127.0.0.0/8")]
ALL = WebhookEvent.values


@pytest.fixture
def ear(settings: Any) -> Iterator[Receiver]:
    settings.WEBHOOK_NETWORKS = LOCAL
    with receiver() as found:
        yield found


def of_claims(company: Company, ear: Receiver) -> tuple[Webhook, str]:
    return webhook_create(actor=company.ana, team=company.claims, name="bot", url=ear.url, events=ALL)


def spent(company: Company, team: Any = None) -> int:
    data = {"allocation": "A-0001", "spent": "80.000000000001"}
    return event_send(event=WebhookEvent.BUDGET_THRESHOLD, team=team or company.claims, data=data)


@pytest.mark.django_db
def test_an_event_arrives_once_signed_and_whole(company: Company, ear: Receiver) -> None:
    _, secret = of_claims(company, ear)
    assert spent(company) == 1

    assert send_webhooks() == 1
    assert send_webhooks() == 0

    [received] = ear.came
    event = received.verified(secret)
    assert (event["type"], event["data"]) == ("budget.threshold", {"allocation": "A-0001", "spent": "80.000000000001"})
    assert datetime.fromisoformat(event["timestamp"]) <= datetime.now(UTC)
    assert received.headers["content-type"] == "application/json"
    delivery = WebhookDelivery.objects.get()
    assert (delivery.state, delivery.attempts, delivery.last_status) == ("delivered", 1, 200)
    assert received.event_id == delivery.event_id
    assert received.body.decode() == delivery.payload


@pytest.mark.django_db
def test_another_secret_or_another_body_does_not_verify(company: Company, ear: Receiver) -> None:
    _, secret = of_claims(company, ear)
    spent(company)
    send_webhooks()

    [received] = ear.came
    changed = type(received)(received.path, received.headers, received.body.replace(b"80.", b"10."))
    with pytest.raises(WebhookVerificationError, match="No matching signature"):
        webhook_verify(changed, secret)
    with pytest.raises(WebhookVerificationError, match="No matching signature"):
        webhook_verify(received, "whsec_" + "QUJD" * 8)


def webhook_verify(received: Any, secret: str) -> None:
    from standardwebhooks import Webhook as Library

    Library(secret).verify(received.body, received.headers)


@pytest.mark.django_db
def test_a_team_is_told_of_its_own_and_the_company_of_everything(company: Company, ear: Receiver) -> None:
    of_claims(company, ear)
    webhook_create(actor=company.cy, team=company.fraud, name="theirs", url=ear.url, events=ALL)
    webhook_create(actor=company.hana, team=None, name="siem", url=f"{ear.url}/all", events=["budget.threshold"])

    assert spent(company) == 2
    assert event_send(event=WebhookEvent.KEY_SUSPENDED, team=company.claims, data={}) == 1
    assert spent(company, company.fraud) == 2

    assert send_webhooks() == 5
    assert sorted(one.path for one in ear.came) == ["/hook", "/hook", "/hook", "/hook/all", "/hook/all"]


@pytest.mark.django_db
def test_what_fails_is_tried_again_later_and_later(company: Company, ear: Receiver) -> None:
    _, secret = of_claims(company, ear)
    spent(company)
    ear.answer(500, 503, 200)
    now = WebhookDelivery.objects.get().next_attempt_at
    assert now is not None

    for attempt, status in enumerate((500, 503), start=1):
        assert deliveries_send(now=now) == 1
        delivery = WebhookDelivery.objects.get()
        assert (delivery.state, delivery.attempts, delivery.last_status) == ("waiting", attempt, status)
        assert delivery.last_error == f"It answered with {status}."
        assert delivery.next_attempt_at is not None
        plain = timedelta(seconds=30) * 4 ** (attempt - 1)
        assert plain <= delivery.next_attempt_at - now <= plain * 1.2
        assert deliveries_send(now=delivery.next_attempt_at - timedelta(seconds=1)) == 0
        now = delivery.next_attempt_at
    assert Webhook.objects.exclude(failing_since=None).count() == 1

    assert deliveries_send(now=now) == 1
    assert Webhook.objects.get().failing_since is None
    assert WebhookDelivery.objects.get().state == DeliveryState.DELIVERED
    assert len({one.event_id for one in ear.came}) == 1
    assert [one.verified(secret)["type"] for one in ear.came] == ["budget.threshold"] * 3


def test_the_waits_end_at_twelve_hours_and_last_longer_than_the_patience() -> None:
    waits = [delay_after(attempt) for attempt in range(1, MOST_ATTEMPTS)]

    assert timedelta(hours=12) <= waits[-1] <= timedelta(hours=14.4)
    assert sum(waits, timedelta()) > DISABLE_AFTER


@pytest.mark.django_db
def test_after_five_days_of_failures_it_is_disabled_and_its_owners_are_told(company: Company, ear: Receiver) -> None:
    webhook, _ = of_claims(company, ear)
    ear.answer(500)
    spent(company)
    now = WebhookDelivery.objects.get().next_attempt_at
    assert now is not None
    deliveries_send(now=now)
    spent(company)

    WebhookDelivery.objects.update(next_attempt_at=now + DISABLE_AFTER)
    deliveries_send(now=now + DISABLE_AFTER)

    webhook.refresh_from_db()
    assert (webhook.is_enabled, webhook.disabled_reason) == (False, "It failed for 5 days.")
    assert set(WebhookDelivery.objects.values_list("state", flat=True)) == {"dropped"}
    told = Notification.objects.get()
    assert (told.user, told.title) == (company.ana, "The webhook bot is disabled")
    assert told.url == f"/webhooks/{webhook.pk}/"
    assert AuditEvent.objects.filter(verb="webhook.disable", actor=company.system).count() == 1


@pytest.mark.django_db
def test_a_receiver_that_is_gone_is_disabled_at_once(company: Company, ear: Receiver) -> None:
    webhook, _ = webhook_create(actor=company.hana, team=None, name="siem", url=ear.url, events=ALL)
    ear.answer(410)
    spent(company)

    send_webhooks()

    webhook.refresh_from_db()
    assert webhook.disabled_reason == "It said that it is gone (410)."
    assert {line.user for line in Notification.objects.all()} == {company.hana, company.ivo}


@pytest.mark.django_db
def test_what_was_given_up_can_be_sent_again_with_its_id(company: Company, ear: Receiver) -> None:
    webhook, _ = of_claims(company, ear)
    spent(company)
    WebhookDelivery.objects.update(attempts=MOST_ATTEMPTS - 1)
    ear.answer(500, 200)
    send_webhooks()
    delivery = WebhookDelivery.objects.get()
    assert (delivery.state, delivery.next_attempt_at) == (DeliveryState.FAILED, None)

    delivery_repeat(actor=company.ana, delivery=delivery)
    assert send_webhooks() == 1

    assert WebhookDelivery.objects.get().state == DeliveryState.DELIVERED
    assert len({one.event_id for one in ear.came}) == 1
    with pytest.raises(WrongState):
        delivery_repeat(actor=company.ana, delivery=delivery)
    assert webhook.deliveries.count() == 1


@pytest.mark.django_db
def test_a_redirect_is_not_followed(company: Company, ear: Receiver) -> None:
    of_claims(company, ear)
    spent(company)
    ear.answer(307, 200)

    send_webhooks()

    assert [one.path for one in ear.came] == ["/hook"]
    delivery = WebhookDelivery.objects.get()
    assert delivery.last_status == 307
    assert delivery.last_error == ("It answered with 307. Redirects are not followed: enter the address that answers.")


@pytest.mark.django_db
@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_what_leads_into_our_own_network_is_refused_at_the_socket(
    company: Company, ear: Receiver, settings: Any, host: str
) -> None:
    url = ear.url.replace("127.0.0.1", host)
    webhook_create(actor=company.ana, team=company.claims, name="bot", url=url, events=ALL)
    spent(company)
    settings.WEBHOOK_NETWORKS = []

    send_webhooks()

    assert ear.came == []
    delivery = WebhookDelivery.objects.get()
    assert (delivery.state, delivery.last_status) == ("waiting", None)
    assert "is not a public address, and its network is not in WEBHOOK_NETWORKS." in delivery.last_error


@pytest.mark.django_db
@pytest.mark.parametrize(
    "url",
    [
        "ftp://hooks.acorn.example/",
        "https://",
        "hooks.acorn.example",
        "http://hooks.acorn.example/",
        "https://user:word@hooks.acorn.example/",
        "https://hooks.acorn.example/#part",
        "https://hooks.acorn.example/a b",
        "https://hooks.acorn.example:99999/",
        "https://[::1/",
        "https://127.0.0.1/",
        "https://localhost/",
        "https://10.1.2.3/",
        "https://169.254.169.254/latest/meta-data/",
        "https://100.64.0.1/",
        "https://[::ffff:10.0.0.1]/",
        "https://[64:ff9b::a00:1]/",
        "https://[2002:a00:1::]/",
        "https://[fe80::1]/",
        "https://224.0.0.1/",
        "https://0.0.0.0/",
        "https://hooks.acorn.example/" + "x" * 500,
    ],
)
def test_an_address_that_cannot_be_is_refused(company: Company, url: str) -> None:
    with pytest.raises(Refused) as refused:
        webhook_create(actor=company.ana, team=company.claims, name="bot", url=url, events=ALL)

    assert (refused.value.code, refused.value.field) == ("bad_url", "url")


@pytest.mark.django_db
def test_a_network_that_the_operator_allows_can_be_told(company: Company, settings: Any) -> None:
    settings.WEBHOOK_NETWORKS = [ip_network("10.20.0.0/16")]

    webhook_create(actor=company.ana, team=company.claims, name="bot", url="https://10.20.3.4/hook", events=ALL)

    with pytest.raises(Refused, match=r"10\.21\.0\.1 is not a public address"):
        webhook_create(actor=company.ana, team=company.claims, name="other", url="https://10.21.0.1/", events=ALL)


@pytest.mark.django_db
def test_while_the_grace_lasts_both_secrets_verify(company: Company, ear: Receiver) -> None:
    webhook, former = of_claims(company, ear)
    present = webhook_rotate(actor=company.ana, webhook=webhook, grace=timedelta(hours=1))
    spent(company)
    send_webhooks()
    webhook_rotate(actor=company.ana, webhook=webhook, grace=timedelta(0))
    spent(company)
    send_webhooks()

    during, after = ear.came
    assert during.verified(present) == during.verified(former)
    for secret in (former, present):
        with pytest.raises(WebhookVerificationError):
            webhook_verify(after, secret)


@pytest.mark.django_db
def test_the_secret_is_stored_encrypted_and_for_this_purpose_alone(company: Company, ear: Receiver) -> None:
    webhook, secret = of_claims(company, ear)

    stored = bytes(Webhook.objects.get(pk=webhook.pk).secret_encrypted)
    assert secret.encode() not in stored
    assert encryption.decrypt(stored, webhook_services.PURPOSE) == secret
    with pytest.raises(encryption.Unreadable):
        encryption.decrypt(stored, "provider credential")
    assert secret not in json.dumps(list(AuditEvent.objects.values_list("details", flat=True)))


@pytest.mark.django_db
def test_a_disabled_webhook_gets_nothing_until_it_is_enabled(company: Company, ear: Receiver) -> None:
    webhook, _ = of_claims(company, ear)
    spent(company)
    webhook_disable(actor=company.ana, webhook=webhook, reason="moved")
    assert spent(company) == 0
    with pytest.raises(WrongState):
        webhook_test(actor=company.ana, webhook=webhook)
    assert send_webhooks() == 0

    webhook_enable(actor=company.ana, webhook=webhook)
    webhook_test(actor=company.ana, webhook=webhook)

    assert send_webhooks() == 1
    assert json.loads(ear.came[0].body)["type"] == "webhook.test"


@pytest.mark.django_db
def test_only_leads_finance_and_platform_admins_change_webhooks(company: Company, ear: Receiver) -> None:
    for actor, team in ((company.bo, company.claims), (company.ana, None), (company.cy, company.claims)):
        with pytest.raises(NotAllowed):
            webhook_create(actor=actor, team=team, name="bot", url=ear.url, events=ALL)
    webhook, _ = of_claims(company, ear)
    for actor in (company.bo, company.cy, company.jo, company.kim):
        with pytest.raises(NotAllowed):
            webhook_disable(actor=actor, webhook=webhook, reason="no")


@pytest.mark.django_db
def test_an_address_is_told_once_per_owner(company: Company, ear: Receiver) -> None:
    of_claims(company, ear)

    with pytest.raises(Refused, match="told already"):
        of_claims(company, ear)

    webhook_create(actor=company.ivo, team=None, name="all", url=ear.url, events=ALL)


@pytest.mark.django_db
def test_the_database_keeps_what_was_sent(company: Company, ear: Receiver) -> None:
    of_claims(company, ear)
    spent(company)

    for statement in ("DELETE FROM teams_webhookdelivery", "UPDATE teams_webhookdelivery SET payload = ''"):
        with pytest.raises(ProgrammingError, match="permission denied"), transaction.atomic():
            connection.cursor().execute(statement)


@pytest.mark.django_db
def test_a_sender_that_was_slower_than_its_lease_changes_nothing(company: Company, ear: Receiver) -> None:
    from teams.webhook_sending import Outcome, _claim, _note

    of_claims(company, ear)
    spent(company)
    now = datetime.now(UTC)
    [slow] = _claim(now, 10)
    assert _claim(now + LEASE - timedelta(seconds=1), 10) == []
    [quick] = _claim(now + LEASE, 10)
    _note(quick, Outcome(status=200), now + LEASE)

    _note(slow, Outcome(error="No answer."), now + LEASE)

    delivery = WebhookDelivery.objects.get()
    assert (delivery.state, delivery.attempts, delivery.last_status) == ("delivered", 2, 200)


def test_two_senders_at_once_send_each_event_once(fresh_database: FreshDatabase, ear: Receiver) -> None:
    company = build_company()
    of_claims(company, ear)
    for _ in range(60):
        spent(company)

    def send(_: int) -> int:
        try:
            return deliveries_send(limit=5)
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as pool:
        sent = list(pool.map(send, range(2)))

    assert sum(sent) == 60
    assert len(ear.came) == len({one.event_id for one in ear.came}) == 60
