"""The ledger for programs: the pages' rules by role, scopes by token, pages by cursor, one shape of error."""

import json
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from ledger.models import JournalEntry, UsageDay
from ledger.selectors import today, trial_balance
from ledger.services import usage_post
from teams.models import Scope, User
from teams.token_services import token_create
from tests.budget import Budget
from tests.cast import PEOPLE, Company
from tests.pages import assert_readable, heading, page_of

pytestmark = pytest.mark.django_db

EVERYBODY, FINANCE, TEAM = set(PEOPLE), {"hana", "jo"}, {"ana", "bo", "kim"}
ENDPOINTS = {
    "accounts/": EVERYBODY,
    "accounts/line:{claims}:standard/": FINANCE | TEAM,
    "accounts/line:{claims}:standard/statement/": FINANCE | TEAM,
    "accounts/line:{fraud}:economy/": FINANCE | {"cy"},
    "accounts/pool:q1/statement/": FINANCE,
    "accounts/none/": set(),
    "balances/": EVERYBODY,
    "entries/": FINANCE,
    "entries/{entry}/": FINANCE,
    "entries/999999999/": set(),
    "usage/days/": EVERYBODY,
    "usage/hours/": EVERYBODY,
    "reports/": EVERYBODY,
    "reports/trial-balance/": FINANCE,
    "reports/none/": set(),
    "schema/": EVERYBODY,
}


@pytest.fixture
def used(budget: Budget) -> Budget:
    """Calls of Claims, posted; every entry sealed."""
    budget.call()
    budget.call(budget.test, tokens=123)
    usage_post(actor=budget.company.system)
    budget.seal()
    return budget


def address(path: str, budget: Budget) -> str:
    entry = JournalEntry.objects.earliest("pk").pk
    return "/api/v1/" + path.format(claims=budget.claims.number, fraud=budget.fraud.number, entry=entry)


def told(company: Company, name: str, path: str) -> Any:
    answer = company.client(company.person(name)).get(f"/api/v1/{path}")
    assert answer.status_code == 200, answer.content
    return answer.json()


def streamed(answer: Any) -> Any:
    return json.loads(b"".join(answer.streaming_content))


def codes(answer: Any) -> set[str]:
    return {row["code"] for row in answer["results"]}


def token_of(user: User, *scopes: Scope) -> dict[str, str]:
    return {
        "Authorization": f"Bearer {token_create(actor=user, name=f'{len(scopes)} scopes', scopes=scopes, days=1)[1]}"
    }


@pytest.mark.parametrize(("path", "who"), ENDPOINTS.items())
def test_each_endpoint_answers_those_who_may_read_it_and_is_not_there_for_others(
    used: Budget, path: str, who: set[str]
) -> None:
    url = address(path, used)
    answers = {name: used.company.client(used.company.person(name)).get(url) for name in PEOPLE}

    assert {name for name, answer in answers.items() if answer.status_code == 200} == who
    for name in EVERYBODY - who:
        assert (answers[name].status_code, answers[name].json()) == (
            404,
            {"error": {"code": "not_found", "message": "There is nothing here."}},
        )


@pytest.mark.parametrize("path", ENDPOINTS)
def test_a_stranger_is_told_to_log_in(used: Budget, path: str) -> None:
    answer = Client().get(address(path, used))

    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "not_authenticated")


@pytest.mark.parametrize("path", [path for path in ENDPOINTS if path != "schema/"])
def test_a_token_needs_the_scope_besides_what_its_person_may_do(used: Budget, path: str) -> None:
    company, url = used.company, address(path, used)
    scope = Scope.REPORTS_READ if path.startswith("reports/") else Scope.LEDGER_READ
    others = [other for other in Scope if other != scope]

    with_scope = Client().get(url, headers=token_of(company.hana, scope))
    without = Client().get(url, headers=token_of(company.hana, *others))
    of_cy = Client().get(url, headers=token_of(company.cy, scope))

    assert with_scope.status_code == (200 if "hana" in ENDPOINTS[path] else 404)
    assert (without.status_code, without.json()["error"]) == (
        403,
        {"code": "scope_missing", "message": f"This token lacks the scope {scope}."},
    )
    assert of_cy.status_code == (200 if "cy" in ENDPOINTS[path] else 404)


def test_lists_hold_what_somebody_may_read_and_no_more(used: Budget) -> None:
    company, claims = used.company, f"line:{used.claims.number}"

    everything = {row.account.code for row in trial_balance()}
    assert codes(told(company, "hana", "accounts/?limit=200")) == everything
    own = codes(told(company, "ana", "accounts/"))
    assert own == codes(told(company, "kim", "accounts/")) == codes(told(company, "bo", "balances/"))
    assert own >= {f"{claims}:standard", f"{claims}:frontier"}
    assert all(used.claims.number in code for code in own)
    assert codes(told(company, "gil", "accounts/")) == set()
    assert [len(told(company, name, "usage/days/")["results"]) for name in ("hana", "ana", "cy", "gil")] == [2, 2, 0, 0]


def test_balances_are_the_trial_balance_now_and_on_a_day(used: Budget) -> None:
    answer = told(used.company, "hana", "balances/?limit=200")

    ours = {row.account.code: (row.debits, row.credits, row.balance) for row in trial_balance()}
    theirs = {
        row["code"]: tuple(type(next(iter(ours.values()))[0])(row[name]) for name in ("debits", "credits", "balance"))
        for row in answer["results"]
    }
    assert theirs == ours
    assert answer["results"][0]["as_of"].startswith(str(today()))

    before = told(used.company, "hana", f"balances/?as_of={today() - timedelta(days=1)}&account_class=reserve")
    assert [(row["balance"], row["as_of"]) for row in before["results"]] == [("0", str(today() - timedelta(days=1)))]
    now = told(used.company, "hana", f"balances/?as_of={today()}&account_class=pool")
    assert [(row["code"], row["balance"]) for row in now["results"]] == [("pool:q1", "150")]


def test_an_entry_is_told_whole(used: Budget) -> None:
    entry = JournalEntry.objects.filter(kind="usage").latest("pk")

    answer = told(used.company, "jo", f"entries/{entry.pk}/")

    assert {name: answer[name] for name in ("number", "kind", "effective_on", "actor", "reverses")} == {
        "number": str(entry),
        "kind": "usage",
        "effective_on": str(entry.effective_on),
        "actor": "system@tank.invalid",
        "reverses": None,
    }
    assert answer["seal"] == bytes(entry.seal.hash).hex()
    amounts = {row["account"]: row["amount"] for row in answer["postings"]}
    assert amounts == {"metered:sandbox": "1.000123", used.line.account.code: "-1.000123"}
    [same] = told(used.company, "jo", f"entries/?kind=usage&account=metered:sandbox&from={today()}")["results"]
    assert same == answer
    assert told(used.company, "jo", f"entries/?to={today() - timedelta(days=400)}")["results"] == []


def test_a_statement_runs_from_the_newest_line_to_the_oldest(used: Budget) -> None:
    path = f"accounts/{used.line.account.code}/statement/"

    lines = told(used.company, "ana", path)["results"]

    assert [(line["number"], line["kind"], line["amount"], line["balance"]) for line in lines] == [
        (2, "usage", "-1.000123", "298.999877"),
        (1, "release", "300", "300"),
    ]
    assert told(used.company, "ana", f"{path}?from={today() + timedelta(days=1)}")["results"] == []


@pytest.mark.parametrize("path", ["accounts/", "balances/", "entries/", "usage/days/", "usage/hours/"])
def test_pages_follow_one_another_by_cursor(used: Budget, path: str) -> None:
    hana = used.company.client(used.company.hana)
    whole = hana.get(f"/api/v1/{path}?limit=200").json()
    assert whole["next"] is None

    url, seen = f"/api/v1/{path}?limit=1", []
    while url:
        page = hana.get(url).json()
        assert len(page["results"]) == 1
        seen += page["results"]
        url = page["next"]

    assert [{**row, "as_of": ""} for row in seen] == [{**row, "as_of": ""} for row in whole["results"]]
    assert hana.get(f"/api/v1/{path}?cursor=nonsense").status_code == 404


@pytest.mark.parametrize("path", ["accounts/", "balances/", "entries/", "usage/days/"])
def test_a_list_asks_as_often_for_many_rows_as_for_one(used: Budget, path: str) -> None:
    hana = used.company.client(used.company.hana)

    def queries(limit: int) -> int:
        with CaptureQueriesContext(connection) as found:
            hana.get(f"/api/v1/{path}?limit={limit}")
        return len(found)

    assert queries(200) == queries(1)


def test_usage_is_narrowed_by_what_it_belongs_to(used: Budget) -> None:
    def sums(query: str) -> list[str]:
        return [row["charged"] for row in told(used.company, "hana", f"usage/days/?{query}")["results"]]

    assert sums("") == sums(f"from={today() - timedelta(days=1)}&to={today()}&tier=standard&team=claims")
    assert sorted(sums("model=tank-small&provider=sandbox")) == ["0.000123", "1"]
    assert sums(f"key={used.prod.pk}") == ["1"]
    assert sums("tag=workflow") == []
    assert sums(f"to={today() - timedelta(days=2)}") == []
    day = told(used.company, "hana", f"usage/days/?key={used.prod.pk}")["results"][0]
    assert (day["team"], day["account"], day["input_tokens"], day["records"], day["currency"]) == (
        "claims",
        used.line.account.code,
        1_000_000,
        1,
        "USD",
    )
    [hour] = told(used.company, "hana", f"usage/hours/?key={used.prod.pk}&from={day['day']}&to={day['day']}")["results"]
    assert hour["hour"].startswith(day["day"])
    assert hour["charged"] == day["charged"]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("entries/?kind=gift", "kind"),
        ("entries/?from=March", "from"),
        ("entries/?from=2026-02-01&to=2026-01-01", "to"),
        ("entries/?knd=usage", "knd"),
        ("usage/days/?tag_value=x", "tag"),
        ("balances/?as_of=now", "as_of"),
        ("accounts/?tier=golden", "tier"),
        ("reports/trial-balance/?as_of=never", "as_of"),
        ("reports/trial-balance/?colour=red", "colour"),
    ],
)
def test_what_is_wrong_with_a_question_is_told_by_field(used: Budget, query: str, field: str) -> None:
    answer = used.company.client(used.company.hana).get(f"/api/v1/{query}")

    error = answer.json()["error"]
    assert answer.status_code == (422 if query.startswith("reports/") else 400)
    assert (error["code"], error["field"], list(error["fields"])) == ("invalid", field, [field])


def test_a_report_is_told_whole_with_the_totals_that_tie(used: Budget) -> None:
    listed = {report["slug"]: report for report in told(used.company, "hana", "reports/")}
    assert told(used.company, "ana", "reports/") == []
    assert listed["trial-balance"]["url"].endswith("/api/v1/reports/trial-balance/")

    answer = used.company.client(used.company.hana).get("/api/v1/reports/trial-balance/")

    assert "Content-Disposition" not in answer
    report = streamed(answer)
    assert report["report"] == "trial-balance"
    names = [column["name"] for column in report["columns"]]
    assert report["rows"]
    assert all(list(row) == names for row in report["rows"])
    assert all(tie["difference"] == "0" for tie in report["ties"])


def test_every_report_answers(used: Budget) -> None:
    hana = used.company.client(used.company.hana)

    for report in told(used.company, "hana", "reports/"):
        answer = hana.get(f"/api/v1/reports/{report['slug']}/")
        assert (report["slug"], answer.status_code) == (report["slug"], 200)
        assert streamed(answer)["report"] == report["slug"]


def test_what_was_not_rolled_up_is_not_there(budget: Budget) -> None:
    budget.call()

    assert UsageDay.objects.count() == 0
    assert told(budget.company, "hana", "usage/days/")["results"] == []


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_the_ledger_is_read_and_not_written(used: Budget, method: str) -> None:
    answer = getattr(used.company.client(used.company.hana), method)("/api/v1/entries/")

    assert (answer.status_code, answer.json()["error"]["code"]) == (405, "method_not_allowed")


def test_the_schema_names_every_endpoint_and_the_one_shape_of_error(company: Company) -> None:
    answer = company.client(company.cy).get("/api/v1/schema/")

    schema = answer.json()
    assert set(schema["paths"]) == {
        "/api/v1/accounts/",
        "/api/v1/accounts/{code}/",
        "/api/v1/accounts/{code}/statement/",
        "/api/v1/balances/",
        "/api/v1/entries/",
        "/api/v1/entries/{id}/",
        "/api/v1/usage/days/",
        "/api/v1/usage/hours/",
        "/api/v1/reports/",
        "/api/v1/reports/{slug}/",
        "/api/v1/metering/admit/",
        "/api/v1/metering/settle/",
        "/api/v1/metering/void/",
        "/api/v1/rounds/",
        "/api/v1/rounds/{id}/",
        "/api/v1/rounds/{id}/board/",
        "/api/v1/rounds/{id}/board/moves/",
        "/api/v1/rounds/{id}/minutes/",
        "/api/v1/pitches/",
        "/api/v1/pitches/{id}/",
        "/api/v1/pitches/{id}/submit/",
        "/api/v1/pitches/{id}/attachments/",
        "/api/v1/pitches/{id}/attachments/{attachment}/",
        "/api/v1/pitches/{id}/copy/",
        "/api/v1/pitches/{id}/questions/",
        "/api/v1/pitches/{id}/similar/",
        "/api/v1/pitches/search/",
        "/api/v1/claims/",
        "/api/v1/claims/factors/",
        "/api/v1/offers/",
        "/api/v1/offers/{id}/",
        "/api/v1/offers/{id}/accept/",
        "/api/v1/offers/{id}/answer/",
        "/api/v1/offers/{id}/counter/",
        "/api/v1/offers/{id}/decline/",
        "/api/v1/overrides/{id}/sign/",
        "/api/v1/overrides/{id}/withdraw/",
        "/api/v1/pitches/{id}/ballot/",
        "/api/v1/pitches/{id}/carry-over/",
        "/api/v1/pitches/{id}/conflicts/",
        "/api/v1/pitches/{id}/decision/",
        "/api/v1/pitches/{id}/draft/",
        "/api/v1/pitches/{id}/items/estimate/",
        "/api/v1/pitches/{id}/items/import/",
        "/api/v1/pitches/{id}/lane-decision/",
        "/api/v1/pitches/{id}/overrides/",
        "/api/v1/pitches/{id}/peek/",
        "/api/v1/pitches/{id}/quote/",
        "/api/v1/pitches/{id}/remarks/",
        "/api/v1/pitches/{id}/return/",
        "/api/v1/pitches/{id}/reviews/",
        "/api/v1/pitches/{id}/rule-out/",
        "/api/v1/pitches/{id}/screenings/",
        "/api/v1/pitches/{id}/take-in/",
        "/api/v1/pitches/{id}/waitlist-raise/",
        "/api/v1/pitches/{id}/withdraw/",
        "/api/v1/rounds/{id}/assignments/",
        "/api/v1/rounds/{id}/ballots/",
        "/api/v1/rounds/{id}/calendar/",
        "/api/v1/rounds/{id}/choice/",
        "/api/v1/rounds/{id}/choice/adopt/",
        "/api/v1/rounds/{id}/choice/runs/{run}/",
        "/api/v1/rounds/{id}/clone/",
        "/api/v1/rounds/{id}/close-lane/",
        "/api/v1/rounds/{id}/committee/",
        "/api/v1/rounds/{id}/committee/{seat}/remove/",
        "/api/v1/rounds/{id}/conflicts/",
        "/api/v1/rounds/{id}/conflicts/{recusal}/judge/",
        "/api/v1/rounds/{id}/declaration/",
        "/api/v1/rounds/{id}/lane-decisions/",
        "/api/v1/rounds/{id}/options/",
        "/api/v1/rounds/{id}/override-room/",
        "/api/v1/rounds/{id}/overrides/",
        "/api/v1/rounds/{id}/questions/",
        "/api/v1/rounds/{id}/receipts/",
        "/api/v1/rounds/{id}/results/",
        "/api/v1/rounds/{id}/sealed/",
        "/api/v1/rounds/{id}/steps/{name}/",
        "/api/v1/rounds/{id}/waitlist/",
        "/api/v1/rounds/calendar.ics",
        "/api/v1/screening/",
    }
    get = schema["paths"]["/api/v1/entries/"]["get"]
    assert {one["name"] for one in get["parameters"]} == {"cursor", "limit", "from", "to", "kind", "account"}
    assert get["responses"]["default"]["content"]["application/json"]["schema"]["$ref"].endswith("/Error")
    assert {"token": []} in get["security"]


def test_the_page_of_the_api_loads_nothing_from_elsewhere(company: Company) -> None:
    answer = company.client(company.cy).get("/api/v1/docs/")

    assert_readable(answer)
    assert heading(answer) == "The API"
    assert all(script.attrs["src"].startswith("/static/") for script in page_of(answer).all("script"))
    assert "'unsafe" not in answer["Content-Security-Policy"]
    assert Client().get("/api/v1/docs/")["Location"] == "/account/login/?next=/api/v1/docs/"
