"""Pages of allocations and keys, by role."""

import csv
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from allocations.models import Allocation, AllocationState, KeyState, Quota, QuotaKey
from allocations.secrets import digest
from allocations.services import allocation_resume, key_issue, key_revoke
from ledger.models import AiModel
from ledger.selectors import today
from teams.errors import WrongState
from tests.budget import Budget
from tests.cast import PEOPLE, Company
from tests.pages import assert_readable, error_beside, heading, page_of, rows, typed

pytestmark = pytest.mark.django_db

EVERYBODY = set(PEOPLE)
TEAM = {"ana", "bo"}
VIEWERS = TEAM | {"kim", "hana", "ivo", "jo"}
STOPPERS = TEAM | {"hana", "ivo"}
SUSPENDERS = {"hana", "ivo"}
LIMITERS = {"ana", "hana"}
PAGES = {
    "/allocations/": EVERYBODY,
    "/allocations/unsettled/": {"hana", "ivo", "jo"},
    "/allocations/{number}/": VIEWERS,
    "/allocations/{number}/suspend/": SUSPENDERS,
    "/allocations/{number}/resume/": SUSPENDERS,
    "/allocations/{number}/burn-down.csv": VIEWERS,
    "/allocations/{number}/lines/standard/tokens/": LIMITERS,
    "/allocations/{number}/keys/new/": TEAM,
    "/allocations/{number}/keys/{key}/": VIEWERS,
    "/allocations/{number}/keys/{key}/stop/": STOPPERS,
}
CHANGES: dict[str, tuple[dict[str, str], set[str]]] = {
    "suspend/": ({"reason": "under review"}, SUSPENDERS),
    "lines/standard/tokens/": ({"tokens": "1,000", "reason": "a try"}, LIMITERS),
    "keys/new/": ({"name": "another"}, TEAM),
    "keys/{key}/rotate/": ({"newest": "{newest}", "grace": "3600"}, TEAM),
    "keys/{key}/limits/": ({"cap": "12", "reason": "enough"}, TEAM),
    "keys/{key}/stop/": ({"reason": "leaked", "action": "revoke"}, STOPPERS),
}


def address(path: str, budget: Budget) -> str:
    return path.format(number=budget.claims.number, key=budget.prod.pk)


def newest(key: QuotaKey) -> int:
    return key.secrets.order_by("-pk").values_list("pk", flat=True)[0]


@pytest.mark.parametrize(("path", "who"), PAGES.items())
def test_each_page_opens_for_those_who_may_see_it_and_is_not_there_for_others(
    budget: Budget, path: str, who: set[str]
) -> None:
    budget.call()
    url = address(path, budget)
    answers = {name: budget.company.client(budget.company.person(name)).get(url) for name in PEOPLE}

    assert {name for name, answer in answers.items() if answer.status_code == 200} == who
    assert {name for name, answer in answers.items() if answer.status_code == 404} == EVERYBODY - who
    for answer in answers.values():
        if not answer.streaming:
            assert_readable(answer)


@pytest.mark.parametrize("path", PAGES)
def test_a_stranger_is_sent_to_the_login_page(budget: Budget, path: str) -> None:
    answer = Client().get(address(path, budget))

    assert answer.status_code == 302
    assert answer["Location"].startswith("/account/login/?next=/allocations/")


@pytest.mark.parametrize("change", CHANGES)
def test_each_change_is_for_those_who_may_make_it(budget: Budget, change: str) -> None:
    data, who = CHANGES[change]
    url = f"/allocations/{budget.claims.number}/" + change.format(key=budget.prod.pk)
    data = {name: value.format(newest=newest(budget.prod)) for name, value in data.items()}

    for name in sorted(EVERYBODY - who):
        client = budget.company.client(budget.company.person(name))
        assert client.post(url, data).status_code == 404, name
    assert Client().post(url, data)["Location"].startswith("/account/login/")
    assert budget.company.client(budget.company.ana, csrf=True).post(url, data).status_code == 403
    assert budget.company.client(budget.company.person(min(who))).post(url, data).status_code in {200, 302}


def test_a_key_of_another_allocation_is_not_found_under_this_one(budget: Budget) -> None:
    url = f"/allocations/{budget.fraud.number}/keys/{budget.prod.pk}/"

    assert budget.company.client(budget.company.hana).get(url).status_code == 404


@pytest.mark.parametrize("number", ["A-9999", "A-0", "9" * 30, "A-٤٢", "x", "A-1'--"])
def test_what_was_never_given_is_not_found(budget: Budget, number: str) -> None:
    assert budget.company.client(budget.company.hana).get(f"/allocations/{number}/").status_code == 404


def test_the_list_shows_own_allocations_and_finance_all(budget: Budget) -> None:
    budget.call()
    until = f"{today() + timedelta(days=50):%-d %b %Y}"
    claims = [
        f"Claims triage {budget.claims.number}",
        "Claims Insurance",
        "active",
        "$1.00 spent and $0.00 held of $400.00: 0 percent spent, 0 percent held, $399.00 left",
        "$1.00",
        "$399.00",
        "$400.00",
        until,
    ]
    left = "$0.00 spent and $0.00 held of $50.00: 0 percent spent, 0 percent held, $50.00 left"
    fraud = [f"Fraud graph {budget.fraud.number}", "Fraud Security", "active", left, "$0.00", "$50.00", "$50.00", until]

    assert rows(budget.company.client(budget.company.bo).get("/allocations/")) == [claims]
    assert rows(budget.company.client(budget.company.cy).get("/allocations/")) == [fraud]
    assert rows(budget.company.client(budget.company.jo).get("/allocations/")) == [fraud, claims]


def test_a_list_without_allocations_says_where_budget_comes_from(company: Company) -> None:
    page = company.client(company.dee).get("/allocations/")

    assert page_of(page).one("div", class_="empty").one("b").text == "No budget yet"


def test_the_allocation_page_says_what_is_left_by_tier_and_by_key(budget: Budget) -> None:
    budget.call()
    budget.call(budget.test, tokens=1_234_567)
    budget.till.admit(budget.prod, budget.line, "2.5")

    page = page_of(answer := budget.company.client(budget.company.bo).get(f"/allocations/{budget.claims.number}/"))

    assert page.one("div", class_="big").text == "$395.2654 of $400.00 available"
    legend = page.one("div", class_="legend").text
    assert legend.startswith("Spent $2.2346 Held $2.50 Lasts to the end,")
    tiers = page.all("table")[1]
    assert [[c.text for c in line.children] for line in tiers.one("tbody").all("tr")] == [
        [
            "Frontier",
            "$0.00 spent and $0.00 held of $100.00: 0 percent spent, 0 percent held, $100.00 left",
            "$100.00 left",
        ],
        [
            "Standard",
            "$2.2346 spent and $2.50 held of $300.00: 1 percent spent, 1 percent held, $295.2654 left",
            "$295.2654 left",
        ],
    ]
    assert page.all("div", class_="note")[0].text == (
        "When a tier is empty, calls fall to the next cheaper one: from Frontier to Standard. Chosen in the pitch."
    )
    hints = {key.pk: key.secrets.get().hint for key in QuotaKey.objects.all()}
    assert [row[:7] for row in rows(answer, "Keys, table")] == [
        ["triage-test", hints[budget.test.pk], "$20.00", "active", "1", "$1.2346", "0"],
        ["triage-prod", hints[budget.prod.pk], "none of its own", "active", "1", "$1.00", "1"],
    ]


def test_the_burn_down_is_a_plot_a_table_and_a_csv_of_the_same_numbers(budget: Budget) -> None:
    budget.call()
    client = budget.company.client(budget.company.ana)

    answer = client.get(f"/allocations/{budget.claims.number}/")
    exported: Any = client.get(f"/allocations/{budget.claims.number}/burn-down.csv")
    lines = list(csv.reader(b"".join(exported.streaming_content).decode().splitlines()))

    plot = json.loads(page_of(answer).one("script", id="burn-down").text)
    series = {one["name"]: dict(zip(one["x"], one["y"], strict=True)) for one in plot["series"]}
    day = today().isoformat()
    assert plot["unit"] == "USD"
    assert (series["Left"][day], series["At this pace"][day]) == ("399", "399")
    assert lines[0] == ["day", "currency", "spent", "left", "plan", "forecast"]
    assert len(lines) == 62
    assert next(line for line in lines if line[0] == day)[:4] == [day, "USD", "1", "399"]
    assert len(rows(answer, "Burn-down, table")) == 61
    assert lines[-1][4] == "0"


def test_a_new_key_is_shown_once_with_calls_that_work(budget: Budget, settings: Any) -> None:
    settings.TANK_URL = "https://tank.acorn.example"
    client, url = budget.company.client(budget.company.ana), f"/allocations/{budget.claims.number}/keys/new/"
    until = today() + timedelta(days=3)

    shown = client.post(url, {"name": "  nightly ", "cap": "$1,250.50", "expires_on": until.isoformat()})

    page, key = page_of(shown), QuotaKey.objects.get(name="nightly")
    secret = page.one("code", id="secret").text
    assert key.secrets.get().digest == digest(secret)
    assert (Quota.objects.get(key=key).limit, key.created_by) == (1250.5, budget.company.ana)
    assert key.expires_at == datetime(until.year, until.month, until.day, tzinfo=UTC) + timedelta(days=1)
    assert "no-store" in shown["Cache-Control"]
    curl = page.one("code", id="snippet-curl").text
    assert "curl https://tank.acorn.example/v1/chat/completions" in curl
    assert f"Authorization: Bearer {secret}" in curl
    assert '"model": "tank-small"' in curl
    assert f'base_url="https://tank.acorn.example/v1", api_key="{secret}"' in page.one("code", id="snippet-openai").text
    assert secret not in client.get(f"/allocations/{budget.claims.number}/").content.decode()
    assert secret not in client.get(f"/allocations/{budget.claims.number}/keys/{key.pk}/").content.decode()
    assert_readable(shown)


def test_without_a_model_the_page_says_who_has_to_do_what(budget: Budget) -> None:
    AiModel.objects.update(is_enabled=False)

    shown = budget.company.client(budget.company.ana).post(
        f"/allocations/{budget.claims.number}/keys/new/", {"name": "early"}
    )

    assert page_of(shown).one("div", class_="empty").one("b").text == "No model can be called yet"


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("name", "", "This field is required."),
        ("name", "x" * 81, "Ensure this value has at most 80 characters (it has 81)."),
        ("name", "triage-prod", "{number} already has a key called triage-prod."),
        ("name", "two\x0blines", "A key needs a name of 1 to 80 printable characters."),
        ("cap", "-5", "The amount must be more than zero."),
        ("cap", "0", "The amount must be more than zero."),
        ("cap", "1.000,50", "Write dollars like 1,234.50"),
        ("cap", "12,34", "Write dollars like 1,234.50"),
        ("cap", "1e3", "Write dollars like 1,234.50"),
        ("cap", "NaN", "Write dollars like 1,234.50"),
        ("cap", "١٢", "Write dollars like 1,234.50"),
        ("cap", "€5", "Write dollars like 1,234.50"),
        ("cap", "0.0000000000001", "An amount has at most 12 decimal places."),
        ("cap", "1000000000000", "That is more than a trillion dollars."),
        ("cap", "9" * 41, "Ensure this value has at most 40 characters (it has 41)."),
        ("expires_on", "2020-01-01", "That day has passed."),
        ("expires_on", "31.02.2027", "Enter a valid date."),
    ],
)
def test_what_is_wrong_with_a_new_key_stands_beside_the_field_and_nothing_typed_is_lost(
    budget: Budget, field: str, value: str, message: str
) -> None:
    form = {"name": "fine", "cap": "12.50", "expires_on": ""} | {field: value}

    answer = budget.company.client(budget.company.ana).post(f"/allocations/{budget.claims.number}/keys/new/", form)

    assert answer.status_code == 422
    assert error_beside(answer, field).startswith(message.format(number=budget.claims.number))
    assert {name: typed(answer, name) for name in form} == form
    assert QuotaKey.objects.count() == 2
    assert_readable(answer)


def test_hostile_names_are_shown_as_they_were_written(budget: Budget) -> None:
    hostile = "<img src=x onerror=alert(1)> & 'Co'"
    key_issue(actor=budget.company.ana, allocation=budget.claims, name=hostile)

    page = budget.company.client(budget.company.ana).get(f"/allocations/{budget.claims.number}/")

    assert rows(page, "Keys, table")[0][0] == hostile
    assert b"<img" not in page.content


def test_a_rotated_key_shows_its_new_secret_once_and_says_how_long_the_old_one_works(budget: Budget) -> None:
    client, url = (
        budget.company.client(budget.company.bo),
        f"/allocations/{budget.claims.number}/keys/{budget.prod.pk}/",
    )
    form = {"newest": str(newest(budget.prod)), "grace": "86400"}

    shown = client.post(url + "rotate/", form)
    reloaded = client.post(url + "rotate/", form)

    secret = page_of(shown).one("code", id="secret").text
    assert heading(shown) == "The new secret of triage-prod"
    assert budget.prod.secrets.latest("pk").digest == digest(secret)
    assert budget.prod.secrets.count() == 2
    assert reloaded.status_code == 422
    assert "This key got a new secret a moment ago." in page_of(reloaded).one("div", class_="form-errors").text
    words = rows(client.get(f"/allocations/{budget.claims.number}/"), "Keys, table")[1][3]
    assert words in {"rotating, 24 h left", "rotating, 23 h left"}


def test_the_cap_of_a_key_is_changed_and_never_below_its_use(budget: Budget) -> None:
    budget.call(budget.test, tokens=5_000_000)
    client, url = (
        budget.company.client(budget.company.bo),
        f"/allocations/{budget.claims.number}/keys/{budget.test.pk}/",
    )

    refused = client.post(url + "limits/", {"cap": "4.99", "reason": "too much"})
    client.post(url + "limits/", {"cap": "6", "reason": "a little more"})

    assert error_beside(refused, "cap") == "The cap is below what the key has spent and holds."
    assert Quota.objects.get(key=budget.test).limit == 6
    assert [row[1:] for row in rows(client.get(url), "History, table")] == [
        ["Bo Example", "Limits changed cap: 20 to 6", "a little more"],
        ["Bo Example", "Issued", ""],
    ]


def test_stopping_a_key_says_in_numbers_what_will_happen_and_needs_a_reason(budget: Budget) -> None:
    budget.call()
    budget.till.admit(budget.prod, budget.line, "2.5")
    client, url = (
        budget.company.client(budget.company.bo),
        f"/allocations/{budget.claims.number}/keys/{budget.prod.pk}/",
    )

    asked = client.get(url + "stop/")
    refused = client.post(url + "stop/", {"reason": " ", "action": "revoke"})
    done = client.post(url + "stop/", {"reason": "Leaked into a notebook", "action": "revoke"}, follow=True)

    words = page_of(asked).one("main").text
    assert "In the last 24 hours it made 1 call for $1.00 , the last one 0 s ago" in words
    assert "1 call in flight, holding $2.50 : it finishes and is charged." in words
    assert error_beside(refused, "reason") == "Say why: whoever used the key will ask."
    assert "triage-prod is revoked." in page_of(done).one("div", class_="toasts").text
    assert QuotaKey.objects.get(pk=budget.prod.pk).end_reason == "Leaked into a notebook"
    assert client.post(url + "stop/", {"reason": "again", "action": "revoke"}).status_code == 422


def test_a_suspended_key_can_be_resumed(budget: Budget) -> None:
    client, url = (
        budget.company.client(budget.company.bo),
        f"/allocations/{budget.claims.number}/keys/{budget.prod.pk}/",
    )

    client.post(url + "stop/", {"reason": "Looks odd", "action": "suspend"})
    suspended = client.get(url)
    client.post(url + "resume/", {"reason": "All is well"})

    assert "Looks odd" in page_of(suspended).one("main").text
    assert_readable(suspended)
    assert QuotaKey.objects.get(pk=budget.prod.pk).state == KeyState.ACTIVE


def test_an_allocation_is_suspended_with_a_reason_that_its_team_reads_and_resumed(budget: Budget) -> None:
    budget.call()
    budget.till.admit(budget.prod, budget.line, "2.5")
    hana, ana = budget.company.client(budget.company.hana), budget.company.client(budget.company.ana)
    url = f"/allocations/{budget.claims.number}/"

    asked = page_of(hana.get(url + "suspend/")).one("main").text
    assert "whichever of the 2 usable keys makes it. In the last 24 hours they made 1 call for $1.00" in asked
    assert "1 call in flight: it finishes and is charged. The $396.50 available" in asked
    refused = hana.post(url + "suspend/", {"reason": " "})
    assert error_beside(refused, "reason") == "Say why: the team will ask."
    done = hana.post(url + "suspend/", {"reason": "Costs look odd"}, follow=True)
    assert f"{budget.claims.number} is suspended." in page_of(done).one("div", class_="toasts").text

    page = ana.get(url)
    assert (
        "Costs look odd Every call is refused until it is resumed." in page_of(page).one("div", class_="note bad").text
    )
    assert page_of(page).all("a", href=url + "resume/") == []
    assert [row[1:] for row in rows(page, "History, table")] == [
        ["Hana Example", "Suspended", "Costs look odd"],
        ["Tank", "Given", "Accepted the offer"],
    ]
    assert f"{budget.claims.number} Claims triage is suspended" in page_of(ana.get("/inbox/")).text
    assert_readable(page)

    again = hana.post(url + "suspend/", {"reason": "Once more"})
    assert (again.status_code, "there is nothing to suspend" in page_of(again).text) == (422, True)
    hana.post(url + "resume/", {"reason": "All is well"})
    assert Allocation.objects.get(pk=budget.claims.pk).state == AllocationState.ACTIVE
    assert hana.post(url + "resume/", {"reason": "Again"}).status_code == 422


def test_resuming_starts_nothing_that_is_scheduled(budget: Budget) -> None:
    Allocation.objects.filter(pk=budget.claims.pk).update(state=AllocationState.SCHEDULED)
    with pytest.raises(WrongState, match="is not suspended"):
        allocation_resume(actor=budget.company.hana, allocation=budget.claims, reason="Now")


def test_finance_can_stop_a_leaked_key_and_see_no_secret(budget: Budget) -> None:
    client, url = (
        budget.company.client(budget.company.hana),
        f"/allocations/{budget.claims.number}/keys/{budget.prod.pk}/",
    )

    page = page_of(client.get(url))
    client.post(url + "stop/", {"reason": "Seen on a public page", "action": "revoke"})

    assert page.all("select", name="grace") == []
    assert QuotaKey.objects.get(pk=budget.prod.pk).state == KeyState.REVOKED


def test_the_calls_of_a_key_show_tokens_cost_and_how_the_figure_came_to_be(budget: Budget) -> None:
    budget.call(tokens=1_000_000)
    budget.call(tokens=41, settle_kind="estimated")

    page = budget.company.client(budget.company.ana).get(f"/allocations/{budget.claims.number}/keys/{budget.prod.pk}/")

    assert [row[1:] for row in rows(page, "Calls, table")] == [
        ["tank-small asked: tank/auto", "41", "0", "0", "$0.000041", "estimated"],
        ["tank-small asked: tank/auto", "1,000,000", "0", "0", "$1.00", "exact"],
    ]


def test_a_call_asks_nothing_of_pages_that_team_members_lost(budget: Budget) -> None:
    url = f"/allocations/{budget.claims.number}/"
    client = budget.company.client(budget.company.bo)
    assert client.get(url).status_code == 200

    budget.company.client(budget.company.ana).post(
        f"/teams/claims/members/{budget.company.bo.pk}/", {"reason": "moved on"}
    )

    assert client.get(url).status_code == 404


def queries_of(client: Client, path: str) -> int:
    client.get(path)
    with CaptureQueriesContext(connection) as asked:
        assert client.get(path).status_code == 200
    return len(asked)


@pytest.mark.parametrize(
    "path",
    ["/allocations/", "/allocations/{number}/", "/allocations/{number}/keys/{key}/", "/allocations/unsettled/", "/"],
)
def test_a_list_asks_as_often_for_three_more_rows(budget: Budget, path: str) -> None:
    client, url = budget.company.client(budget.company.hana), address(path, budget)
    budget.call()
    budget.till.admit(budget.prod, budget.line, "1")
    before = queries_of(client, url)

    for n in range(3):
        budget.call()
        key, _ = key_issue(actor=budget.company.ana, allocation=budget.claims, name=f"key {n}")
        budget.till.admit(key, budget.line, "1")
        budget.call(key)
        key_revoke(actor=budget.company.ana, key=key, reason="only a test")

    assert queries_of(client, url) == before
