"""Pages of webhooks, by role."""

from collections.abc import Iterator
from ipaddress import ip_network
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from teams.models import Webhook, WebhookDelivery, WebhookEvent
from teams.tasks import send_webhooks
from teams.webhook_services import event_send, webhook_create, webhook_disable
from tests.cast import PEOPLE, Company
from tests.pages import assert_readable, error_beside, heading, page_of, rows, typed
from tests.receivers import Receiver, receiver

pytestmark = pytest.mark.django_db

LIST = "/webhooks/"
NEW = {"name": "pager", "url": "https://hooks.acorn.example/tank", "events": ["budget.threshold"]}
OVERSEERS = {"hana", "ivo", "jo"}
CHANGERS = {"hana", "ivo"}


@pytest.fixture
def ear(settings: Any) -> Iterator[Receiver]:
    settings.WEBHOOK_NETWORKS = [ip_network("127.0.0.0/8")]
    with receiver() as found:
        yield found


@pytest.fixture
def webhook(company: Company, ear: Receiver) -> Webhook:
    made, _ = webhook_create(
        actor=company.ana, team=company.claims, name="bot", url=ear.url, events=WebhookEvent.values
    )
    return made


@pytest.mark.parametrize(
    ("path", "who"), [(LIST, OVERSEERS | {"ana", "cy"}), ("/webhooks/{webhook}/", OVERSEERS | {"ana"})]
)
def test_each_page_opens_for_those_who_may_see_it_and_is_not_there_for_others(
    company: Company, webhook: Webhook, path: str, who: set[str]
) -> None:
    url = path.format(webhook=webhook.pk)
    answers = {name: company.client(company.person(name)).get(url) for name in PEOPLE}

    assert {name for name, answer in answers.items() if answer.status_code == 200} == who
    assert {answer.status_code for name, answer in answers.items() if name not in who} == {404}
    assert company.client().get(url).status_code == 302
    for name in sorted(who):
        assert_readable(answers[name])


@pytest.mark.parametrize(
    ("path", "data"),
    [
        ("", NEW),
        ("test/", {}),
        ("rotate/", {"newest": "x", "grace": "24"}),
        ("disable/", {"reason": "moved"}),
        ("enable/", {}),
        ("deliveries/{delivery}/repeat/", {}),
    ],
)
def test_only_those_who_may_change_it_reach_its_buttons(
    company: Company, webhook: Webhook, path: str, data: dict[str, Any]
) -> None:
    event_send(event=WebhookEvent.KEY_SUSPENDED, team=company.claims, data={})
    url = f"/webhooks/{webhook.pk}/" + path.format(delivery=WebhookDelivery.objects.get().pk)

    reached = {n for n in PEOPLE if company.client(company.person(n)).post(url, data).status_code != 404}

    assert reached == CHANGERS | {"ana"}


def test_a_lead_adds_one_and_sees_its_secret_once(company: Company) -> None:
    client = company.client(company.ana)
    assert_readable(client.get(LIST))

    made = client.post(LIST, NEW | {"owner": company.claims.pk})

    assert heading(made) == "pager is ready"
    assert_readable(made)
    secret = page_of(made).one("code", id="secret").text
    assert secret.startswith("whsec_")
    webhook = Webhook.objects.get()
    assert (webhook.team, webhook.events, webhook.created_by) == (company.claims, ["budget.threshold"], company.ana)
    for url in (LIST, f"/webhooks/{webhook.pk}/"):
        assert secret not in client.get(url).content.decode()
    assert rows(client.get(LIST), "Webhooks, table")[0][1:] == ["Claims", "enabled", "none yet"]


def test_a_lead_chooses_among_own_teams_and_finance_among_all(company: Company) -> None:
    def owners(name: str) -> list[str]:
        page = page_of(company.client(company.person(name)).get(LIST))
        return [option.text for option in page.one("select", name="owner").all("option")]

    assert owners("ana") == ["Claims"]
    assert owners("hana") == ["Every team", "Claims", "Fraud"]
    assert company.client(company.ana).post(LIST, NEW | {"owner": company.fraud.pk}).status_code == 422
    assert company.client(company.ana).post(LIST, NEW | {"owner": ""}).status_code == 422
    assert company.client(company.hana).post(LIST, NEW | {"owner": ""}).status_code == 200
    assert Webhook.objects.get().team is None


def test_what_was_typed_stays_beside_what_is_wrong_with_it(company: Company) -> None:
    answer = company.client(company.ana).post(
        LIST, {"owner": company.claims.pk, "name": "pager", "url": "http://10.0.0.1/hook"}
    )

    assert answer.status_code == 422
    assert_readable(answer)
    assert typed(answer, "url") == "http://10.0.0.1/hook"
    assert page_of(answer).one("ul", id="id_events_error").text == "Choose what the address is told of."

    answer = company.client(company.ana).post(LIST, NEW | {"owner": company.claims.pk, "url": "http://10.0.0.1/"})
    assert error_beside(answer, "url") == "Use https://: what is sent says how much was spent."


def test_a_test_event_shows_the_receivers_answer(company: Company, webhook: Webhook, ear: Receiver) -> None:
    client = company.client(company.ana)
    page = f"/webhooks/{webhook.pk}/"
    assert "Nothing was sent yet" in client.get(page).content.decode()

    ear.answer(500, 200)
    assert client.post(f"{page}test/").status_code == 302
    assert rows(client.get(page), "Deliveries, table")[0][2:5] == ["waiting", "—", "0"]
    send_webhooks()

    failed = client.get(page)
    assert_readable(failed)
    _, event, state, status, attempts, wrong = rows(failed, "Deliveries, table")[0]
    assert event.startswith("webhook.test")
    assert state.startswith("waiting")
    assert (status, attempts, wrong) == ("500", "1", "It answered with 500.")
    assert "failing" in page_of(client.get(LIST)).text


def test_the_log_alone_is_sent_to_the_script_that_refreshes_it(company: Company, webhook: Webhook) -> None:
    answer = company.client(company.ana).get(f"/webhooks/{webhook.pk}/", headers={"HX-Request": "true"})

    assert answer.status_code == 200
    assert "<html" not in answer.content.decode()
    assert "Nothing was sent yet" in answer.content.decode()


def test_a_new_secret_is_shown_once_and_a_reload_makes_no_other(company: Company, webhook: Webhook) -> None:
    client = company.client(company.ana)
    page = f"/webhooks/{webhook.pk}/"
    newest = page_of(client.get(page)).one("input", name="newest").attrs["value"]

    first = client.post(f"{page}rotate/", {"newest": newest, "grace": "24"})
    again = client.post(f"{page}rotate/", {"newest": newest, "grace": "24"})

    assert heading(first) == "The new secret of bot"
    assert again.status_code == 422
    assert "got a new secret a moment ago" in again.content.decode()
    webhook.refresh_from_db()
    assert webhook.former_secret_ends_at is not None
    assert "and the former one until" in client.get(page).content.decode()


def test_a_webhook_is_changed_disabled_and_enabled(company: Company, webhook: Webhook) -> None:
    client = company.client(company.ana)
    page = f"/webhooks/{webhook.pk}/"

    assert client.post(page, NEW).status_code == 302
    assert client.post(f"{page}disable/", {"reason": ""}).status_code == 422
    assert client.post(f"{page}disable/", {"reason": "moved"}).status_code == 302
    disabled = client.get(page)
    assert "moved" in disabled.content.decode()
    assert_readable(disabled)
    assert client.post(f"{page}enable/").status_code == 302

    webhook.refresh_from_db()
    assert (webhook.name, webhook.url, webhook.events) == (NEW["name"], NEW["url"], NEW["events"])
    assert webhook.is_enabled
    assert [row[2] for row in rows(client.get(page), "History, table")] == [
        "Enabled",
        "Disabled",
        "Changed",
        "Added",
    ]


def test_what_was_dropped_can_be_sent_again(company: Company, webhook: Webhook, ear: Receiver) -> None:
    client = company.client(company.ana)
    page = f"/webhooks/{webhook.pk}/"
    event_send(event=WebhookEvent.KEY_SUSPENDED, team=company.claims, data={})
    webhook_disable(actor=company.ana, webhook=webhook, reason="moved")
    assert not page_of(client.get(page)).all("button", form="repeat")
    client.post(f"{page}enable/")

    button = page_of(client.get(page)).one("button", form="repeat")
    assert client.post(button.attrs["formaction"]).status_code == 302

    assert send_webhooks() == 1
    assert rows(client.get(page), "Deliveries, table")[0][2:4] == ["delivered", "200"]


def test_the_list_costs_the_same_for_one_and_for_three(company: Company, webhook: Webhook) -> None:
    client = company.client(company.hana)

    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            assert client.get(LIST).status_code == 200
        return len(captured)

    one = queries()
    for place in range(2):
        url = f"https://hooks.acorn.example/{place}"
        webhook_create(actor=company.hana, team=None, name=f"hook {place}", url=url, events=["key.suspended"])

    assert queries() == one


def test_a_log_of_many_has_pages(company: Company, webhook: Webhook) -> None:
    for _ in range(30):
        event_send(event=WebhookEvent.KEY_SUSPENDED, team=company.claims, data={})
    client = company.client(company.ana)
    first = client.get(f"/webhooks/{webhook.pk}/")

    older = page_of(first).one("nav", aria_label="Pages").one("a").attrs["href"]
    second = client.get(f"/webhooks/{webhook.pk}/{older}")

    assert (len(rows(first, "Deliveries, table")), len(rows(second, "Deliveries, table"))) == (25, 5)
