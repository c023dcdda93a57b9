"""The live view: what happens on lines and keys at this moment, for those who may see it."""

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from allocations.models import Allocation, Denial, DenialReason, QuotaKey
from allocations.selectors import live as selector
from allocations.selectors.live import LiveRow, LiveView, live_view
from allocations.services import KeyLimits, key_issue, key_limits_set, threshold_alerts_raise
from ledger.models import Tier
from ledger.selectors import today
from tests.budget import Budget, give
from tests.cast import PEOPLE
from tests.pages import assert_readable, heading, page_of, rows

URL = "/allocations/live/"


def deny(key: QuotaKey | None, reason: DenialReason, *, count: int = 1, hours: int = 0) -> Denial:
    now = datetime.now(UTC) - timedelta(hours=hours)
    hour = now.replace(minute=0, second=0, microsecond=0)
    return Denial.objects.create(
        hour=hour, key=key, reason=reason, model="tank-small", count=count, last_at=now, example_bound=Decimal("0.5")
    )


def figures(calls: int, *dollars: int) -> tuple[Any, ...]:
    return (calls, *map(Decimal, dollars))


def seen(budget: Budget) -> LiveView:
    return live_view([budget.claims])


def line_of(view: LiveView, tier: str = Tier.STANDARD) -> LiveRow:
    return next(row for row in view.allocations[0].lines if row.quota.line and row.quota.line.tier == tier)


def key_of(view: LiveView, key: QuotaKey) -> LiveRow:
    return next(row for row in view.allocations[0].keys if row.quota.key_id == key.pk)


@pytest.mark.django_db
def test_lines_and_keys_show_what_is_in_flight_held_and_spent(budget: Budget) -> None:
    budget.call()
    budget.till.admit(budget.prod, budget.line, "7")
    budget.till.admit(budget.test, budget.line, "5")

    view = seen(budget)

    line, key = line_of(view), key_of(view, budget.test)
    assert (line.in_flight, line.quota.held, line.quota.spent, line.quota.available) == figures(2, 12, 1, 287)
    assert (key.in_flight, key.quota.held, key.quota.spent, key.quota.available) == figures(1, 5, 0, 15)
    assert line_of(view, Tier.FRONTIER).in_flight == 0
    totals = view.totals
    assert (totals["in_flight"], totals["held"], totals["spent"], totals["available"]) == (2, 12, 1, 387)


@pytest.mark.django_db
def test_what_a_dead_process_holds_is_not_in_flight(budget: Budget) -> None:
    budget.till.admit(budget.prod, budget.line, "7")
    budget.till.die()

    line = line_of(seen(budget))

    assert (line.in_flight, line.unsettled, line.quota.held) == figures(0, 7, 7)


@pytest.mark.django_db
def test_rates_are_of_the_last_five_and_sixty_minutes(budget: Budget) -> None:
    budget.past_call(60, hours=2)
    for _ in range(5):
        budget.call(budget.test, tokens=100_000)
    budget.past_call(6, hours=0)

    view = seen(budget)

    line, key = line_of(view).rate, key_of(view, budget.test).rate
    assert (line.calls_short, line.spent_short) == (Decimal("1.2"), Decimal("1.3"))
    assert (line.calls_long, line.spent_long) == (Decimal("0.10"), Decimal("0.108333"))
    assert (key.calls_short, key.spent_short, key.is_sampled) == (Decimal("1.0"), Decimal("0.1"), False)
    assert key.last_at is not None
    assert key_of(view, budget.prod).rate.calls_short == Decimal("0.2")


@pytest.mark.django_db
def test_a_busy_line_is_measured_over_its_newest_calls(budget: Budget, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selector, "MOST_RECORDS", 4)
    for _ in range(6):
        budget.call()

    rate = line_of(seen(budget)).rate

    # Four calls within the last second, not six within the hour: at least one a second.
    assert rate.is_sampled
    assert rate.calls_long >= 4
    assert rate.spent_long >= 4


@pytest.mark.django_db
def test_refused_calls_are_shown_by_reason_since_a_full_hour(budget: Budget) -> None:
    deny(budget.prod, DenialReason.LINE_EMPTY, count=3)
    deny(budget.prod, DenialReason.NO_LINE, count=9)
    deny(budget.prod, DenialReason.KEY_CAP, hours=2)
    deny(None, DenialReason.KEY_UNKNOWN)

    view = seen(budget)

    refused = key_of(view, budget.prod).refused
    assert [(one.reason, one.calls) for one in refused] == [
        (DenialReason.NO_LINE.label, 9),
        (DenialReason.LINE_EMPTY.label, 3),
    ]
    assert key_of(view, budget.prod).refused_calls == 12
    assert view.refused_since <= view.as_of - timedelta(hours=1)
    assert view.refused_since.minute == 0
    assert {denial.reason for denial in view.denials} == {"line_empty", "no_line"}
    assert "key_unknown" in {denial.reason for denial in live_view([budget.claims], strangers=True).denials}


@pytest.mark.django_db
def test_one_allocation_costs_as_many_queries_as_three(budget: Budget) -> None:
    def grow(name: str) -> Allocation:
        lines = {Tier.STANDARD: Decimal(10), Tier.BATCH: Decimal(10)}
        made = give(budget.company, budget.pool, name, "claims", lines)
        for place in range(3):
            key, _ = key_issue(actor=budget.company.ana, allocation=made, name=f"key {place}")
            deny(key, DenialReason.LINE_EMPTY)
        return made

    def queries(allocations: list[Allocation]) -> int:
        with CaptureQueriesContext(connection) as captured:
            view = live_view(allocations)
            assert [len(one.keys) for one in view.allocations] == [3] * len(allocations)
            assert view.totals["in_flight"] == 0
        return len(captured)

    first, second, third = (grow(name) for name in ("one", "two", "three"))

    assert queries([first]) == queries([first, second, third]) == 9


@pytest.mark.django_db
def test_people_see_the_allocations_that_are_theirs_to_see(budget: Budget) -> None:
    company = budget.company

    def shown(name: str, query: str = "") -> set[str]:
        answer = company.client(company.person(name)).get(URL + query)
        assert answer.status_code == 200
        assert_readable(answer)
        return set(re.findall(r"A-\d{4}", page_of(answer).one("main").text))

    claims, fraud = budget.claims.number, budget.fraud.number
    for name in PEOPLE:
        expected = {"cy": {fraud}, "dee": set(), "eli": set(), "fay": set(), "gil": set()}
        both = {claims, fraud} if name in {"hana", "ivo", "jo"} else {claims}
        assert shown(name) == expected.get(name, both), name
    assert shown("hana", "?team=fraud") == {fraud}
    assert shown("hana", f"?allocation={claims}") == {claims}
    assert company.client(company.cy).get(f"{URL}?allocation={claims}").status_code == 404
    assert company.client(company.cy).get(f"{URL}?allocation=nonsense").status_code == 404
    assert company.client().get(URL).status_code == 302


@pytest.mark.django_db
def test_the_page_says_everything_in_words_and_numbers(budget: Budget) -> None:
    budget.past_call(280)
    budget.till.admit(budget.test, budget.line, "5")
    threshold_alerts_raise()
    deny(budget.test, DenialReason.KEY_CAP, count=1200)
    client = budget.company.client(budget.company.hana)

    answer = client.get(f"{URL}?allocation={budget.claims.number}")

    assert heading(answer) == "Claims triage, live"
    table = rows(answer, f"{budget.claims.number}, live, table")
    standard = next(row for row in table if row[0] == "Standard")
    assert standard[2:6] == ["1", "$5.00", "$280.00 of $300.00", "$15.00"]
    assert standard[6:8] == ["0.20 0.02", "$56.00 $4.6667"]
    test = next(row for row in table if row[0] == "triage-test")
    assert test[2:6] == ["1", "$5.00", "$0.00 of $20.00", "$15.00"]
    assert test[8].startswith("1,200 ")
    assert rows(answer, "Alerts, table")[0][:4] == [
        f"{budget.claims.number} Standard",
        "80 % spent",
        "$280.00",
        "$300.00",
    ]
    denied = rows(answer, "Refused calls, table")[0]
    assert denied[:5] == [
        f"triage-test {budget.claims.number}",
        "The key's cap has too little left",
        "tank-small",
        "1,200",
        "$0.50",
    ]
    log = f"/ledger/reports/denials/?allocation={budget.claims.number}"
    assert page_of(answer).one("a", href=log).text == "Denial log"
    assert "as of" in page_of(answer).one(id="live-as-of").text


@pytest.mark.django_db
def test_each_day_and_month_of_a_key_stands_below_it_until_it_starts_again(budget: Budget) -> None:
    limits = KeyLimits(
        cap=Decimal(20), day_cap=Decimal(4), day_tokens=5_000_000, month_tokens=9_000_000, requests_per_minute=60
    )
    key_limits_set(actor=budget.company.ana, key=budget.test, limits=limits, reason="Slowly")
    client = budget.company.client(budget.company.ana)

    def windows() -> list[list[str]]:
        table = rows(client.get(URL), f"{budget.claims.number}, live, table")
        return table[next(place for place, row in enumerate(table) if row[0] == "triage-test") :][:3]

    tomorrow = today() + timedelta(days=1)
    next_month = (today().replace(day=1) + timedelta(days=31)).replace(day=1)
    day, month = f"Today until {tomorrow:%-d %b}, 00:00 UTC", f"This month until {next_month:%-d %b}, 00:00 UTC"
    _, unused, _ = windows()
    assert unused[0] == day
    assert unused[3:] == ["$0.00", "$0.00 of $4.00", "$4.00", "0 of 5,000,000 tokens used"]

    budget.call(budget.test, tokens=2_000_000)
    budget.till.admit(budget.test, budget.line, "1", tokens=1_000_000)

    shown, today_row, month_row = windows()
    assert shown[6] == "0.20 0.02 limit 60"
    assert today_row[0] == day
    assert today_row[3:] == ["$1.00", "$2.00 of $4.00", "$1.00", "2,000,000 of 5,000,000 tokens used, 1,000,000 held"]
    assert (month_row[0], month_row[1]) == (month, "2,000,000 of 9,000,000 tokens used, 1,000,000 held")
    assert month_row[3:6] == ["$1.00", "$2.00", "—"]
    page = rows(client.get(f"/allocations/{budget.claims.number}/keys/{budget.test.pk}/"), "Limits, table")
    assert [(row[0], *row[2:]) for row in page[1:]] == [
        (day, "$2.00", "$1.00", "$4.00", "2,000,000", "1,000,000", "5,000,000"),
        (month, "$2.00", "$1.00", "none", "2,000,000", "1,000,000", "9,000,000"),
    ]


@pytest.mark.django_db
def test_alerts_about_days_and_tokens_stand_with_their_key(budget: Budget) -> None:
    limits = KeyLimits(day_cap=Decimal(2), month_tokens=1_000_000)
    key_limits_set(actor=budget.company.ana, key=budget.test, limits=limits, reason="Slowly")
    budget.call(budget.test)
    threshold_alerts_raise()

    told = rows(budget.company.client(budget.company.ana).get(URL), "Alerts, table")

    place = f"triage-test {budget.claims.number}"
    assert {tuple(row[:4]) for row in told} >= {
        (place, "50 % of the daily cap spent", "$1.00", "$2.00"),
        (place, "100 % of the monthly tokens used", "1,000,000 tokens", "1,000,000 tokens"),
    }


@pytest.mark.django_db
def test_only_those_who_may_open_the_denial_log_get_a_link_to_it(budget: Budget) -> None:
    answer = budget.company.client(budget.company.bo).get(URL)

    assert "Denial log" not in page_of(answer).text
    assert "No call was refused" in answer.content.decode()


@pytest.mark.django_db
def test_a_script_gets_the_figures_alone(budget: Budget) -> None:
    answer = budget.company.client(budget.company.ana).get(URL, headers={"HX-Request": "true"})

    assert "<html" not in answer.content.decode()
    assert budget.claims.number in answer.content.decode()
    assert "no-store" in answer.headers["Cache-Control"]


@pytest.mark.django_db
def test_the_busy_ones_can_be_chosen(budget: Budget) -> None:
    client = budget.company.client(budget.company.hana)
    assert "No call is in flight" in client.get(f"{URL}?busy=1").content.decode()

    budget.till.admit(budget.prod, budget.line, "5")

    found = set(re.findall(r"A-\d{4}", page_of(client.get(f"{URL}?busy=1")).one("main").text))
    assert found == {budget.claims.number}


@pytest.mark.django_db
def test_many_allocations_have_pages(budget: Budget, monkeypatch: pytest.MonkeyPatch) -> None:
    from allocations import views_live

    monkeypatch.setattr(views_live, "PAGE", 1)
    client = budget.company.client(budget.company.hana)
    first = client.get(URL)
    older = page_of(first).one("nav", aria_label="Pages").one("a").attrs["href"]

    second = page_of(client.get(URL + older))

    assert second.all("div", role="region", aria_label=f"{budget.claims.number}, live, table")
    assert not second.all("div", role="region", aria_label=f"{budget.fraud.number}, live, table")
