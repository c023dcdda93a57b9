"""Finance's pages of reconciliation: who sees and does what, and that every figure on them is the one behind it."""

import csv
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils.http import urlencode

from ledger.models import FeedPage, KeyStanding, LineDecision, ProviderKey, ProviderModelName, ReconciliationPolicy
from ledger.selectors.reconciliation import calendar
from tests.budget import Budget
from tests.cast import PEOPLE
from tests.ledger.reported import Reports, day_ago, open_reports, said
from tests.pages import assert_readable, error_beside, heading, page_of, rows, typed

pytestmark = pytest.mark.django_db

BASE = "/ledger/reconciliation/"
READERS, FINANCE, WATCHERS = {"hana", "jo"}, {"hana"}, {"hana", "jo", "ivo"}
PAGES = {
    "": READERS,
    "calendar.csv": READERS,
    "lines/": READERS,
    "lines.csv": READERS,
    "lines/decide/?line={line}:1": FINANCE,
    "lines/{line}/": READERS,
    "decisions/": READERS,
    "clearing/": READERS,
    "clearing.csv": READERS,
    "feeds/": WATCHERS,
    "feeds/{feed}/": WATCHERS,
    "feeds/{feed}/progress/": WATCHERS,
    "fetches/F-{fetch}/": WATCHERS,
    "pages/{page}/": WATCHERS,
    "keys/": WATCHERS,
    "keys/{key}/": WATCHERS,
    "names/": READERS,
    "names/{name}/": FINANCE,
    "policies/": READERS,
    "policies/sandbox/": FINANCE,
}


@pytest.fixture
def reports(budget: Budget) -> Reports:
    """Let one day match, one be 8 dollars dearer, and a key that nobody knows be used for 3 dollars."""
    found = open_reports(budget)
    same, dearer = found.used(4, ago=6), found.used(2, ago=5)
    stray = said(5, 3, provider_key="key_9")
    found.says(same, dearer | {"amount": "10", "model_name": "openai/tank-small"}, stray)
    found.reconciled()
    return found


@pytest.fixture
def hana(reports: Reports) -> Client:
    return reports.budget.company.client(reports.budget.company.hana)


def at(reports: Reports, path: str) -> str:
    """Return an address with the ids of what the story has."""
    fetch = reports.feed.fetches.latest("pk")
    return BASE + path.format(
        line=reports.lines()[1].pk,
        feed=reports.feed.pk,
        fetch=fetch.pk,
        page=FeedPage.objects.get(fetch=fetch).pk,
        key=ProviderKey.objects.get().pk,
        name=ProviderModelName.objects.earliest("pk").pk,
    )


def exported(client: Client, path: str) -> list[list[str]]:
    answer: Any = client.get(BASE + path)
    return list(csv.reader(b"".join(answer.streaming_content).decode().splitlines()))


@pytest.mark.parametrize(("path", "who"), PAGES.items())
def test_each_page_opens_for_those_who_may_see_it_and_is_not_there_for_others(
    reports: Reports, path: str, who: set[str]
) -> None:
    url, company = at(reports, path), reports.budget.company
    answers = {name: company.client(company.person(name)).get(url) for name in PEOPLE}

    assert {name for name, answer in answers.items() if answer.status_code == 200} == who
    assert {answer.status_code for name, answer in answers.items() if name not in who} == {404}
    if answers["hana"].headers["Content-Type"].startswith("text/html") and "progress" not in path:
        for name in who:
            assert_readable(answers[name])


def test_before_the_first_figure_every_page_says_what_to_do(budget: Budget) -> None:
    client = budget.company.client(budget.company.hana)
    for path, words in {
        "lines/": "No line yet",
        "lines/?outcome=open": "No such line",
        "decisions/": "Nothing was decided yet",
        "clearing/": "Nothing moved in these days",
        "feeds/": "No feed yet",
        "keys/": "No key is known yet",
        "names/": "No name yet",
    }.items():
        page = client.get(BASE + path)
        assert page_of(page).all("div", class_="empty")[0].one("b").text == words
        assert_readable(page)
    wrong = client.get(f"{BASE}lines/?from=2026-03-02&to=2026-03-01&outcome=odd")
    assert wrong.status_code == 422
    assert error_beside(wrong, "to") == "The last day lies before the first."
    assert typed(wrong, "from") == "2026-03-02"
    assert client.get(f"{BASE}?month=odd").status_code == 200


def test_a_day_of_the_calendar_is_as_its_worst_line(reports: Reports, hana: Client) -> None:
    reports.budget.past_call(1, days=3)
    months = sorted({f"{day_ago(ago):%Y-%m}" for ago in (3, 5, 6)})
    reports.says(said(4, 0), span=None)

    states = {cell.day: cell.state.value for cell in calendar(day_ago(6), day_ago(3))[0].cells}
    told = [row for month in months for row in exported(hana, f"calendar.csv?month={month}")[1:]]

    # The usage of the third day is not rolled up before the next run.
    assert states == {day_ago(6): "matched", day_ago(5): "open", day_ago(4): "none", day_ago(3): "none"}
    assert told == [
        ["sandbox", day_ago(6).isoformat(), "matched", "1", "USD", "4", "4", "0"],
        ["sandbox", day_ago(5).isoformat(), "open", "2", "USD", "2", "13", "11"],
    ]
    reports.reconciled()
    states = {cell.day: cell.state.value for cell in calendar(day_ago(3), day_ago(3))[0].cells}
    assert states == {day_ago(3): "missing"}
    (cell,) = page_of(hana.get(f"{BASE}?month={day_ago(5):%Y-%m}")).all("a", class_="day open")
    assert (cell.text, cell.attrs["title"]) == ("!", f"{day_ago(5):%-d %b}: Open, 2 lines")
    dearer = next(row for row in rows(hana.get(cell.attrs["href"]), "Lines, table") if "key" not in row[1])
    assert dearer[3:8] == ["2,000,000", "2,000,000", "$2.00", "$10.00", "$8.00"]


def test_the_totals_of_a_day_tie_to_what_was_posted(reports: Reports, hana: Client) -> None:
    day = day_ago(6).isoformat()
    matched = hana.get(f"{BASE}lines/?from={day}&to={day}&provider=sandbox")

    assert heading(matched) == f"{day_ago(6):%-d %B %Y} at sandbox"
    assert rows(matched, "Totals in USD, table") == [
        ["$4.00", "$4.00", "$0.00", "$0.00", "$4.00", "$0.00", "$0.00", "$0.00"]
    ]
    assert "It ties" in page_of(matched).text
    both = hana.get(f"{BASE}lines/")
    assert rows(both, "Totals in USD, table")[0] == [
        "$6.00", "$17.00", "$11.00", "$11.00", "$4.00", "$0.00", "$0.00", "$2.00"
    ]  # fmt: skip
    narrow = rows(hana.get(f"{BASE}lines/?outcome=open"), "Totals in USD, table")
    assert narrow == [["$2.00", "$10.00", "$8.00", "$8.00"]]
    lines = exported(hana, "lines.csv?cause=unmetered")
    assert [dict(zip(lines[0], line, strict=True))["reported"] for line in lines[1:]] == ["3"]


def test_a_line_shows_both_sides_the_providers_rows_and_what_they_were(reports: Reports, hana: Client) -> None:
    line = next(one for one in reports.lines() if one.outcome == "open")
    reports.says(said(5, 2, amount="11", model_name="openai/tank-small"), said(5, 3, provider_key="key_9"))
    reports.reconciled()
    page = hana.get(f"{BASE}lines/{line.pk}/")

    sides = rows(page, "Both sides, table")
    assert sides[0] == ["Uncached input", "2,000,000", "2,000,000", "0", "—", "—"]  # no rate was in force then
    assert sides[-1] == ["Amount, USD", "$2.00", "$11.00", "", "", "$9.00"]
    (now, before) = rows(page, "Provider's rows, table")
    assert (now[0], now[1], now[9]) == ("openai/tank-small", "Written with the provider's prefix", "$11.00")
    assert "replaced by" in before[-1]
    assert rows(page, "Earlier figures, table")[0][1:4] == [
        "$2.00 2,000,000 tokens", "$10.00 2,000,000 tokens", "$8.00"
    ]  # fmt: skip
    assert "No rule explains it" in page_of(page).text

    reports.says(reports.used(1, ago=0) | {"input_tokens": 3_000_000})
    reports.reconciled()
    today = rows(hana.get(f"{BASE}lines/{reports.lines()[-1].pk}/"), "Both sides, table")
    assert today[0] == ["Uncached input", "1,000,000", "3,000,000", "2,000,000", "$1.00", "$2.00"]


def test_finance_decides_from_the_list_and_what_was_typed_stays(reports: Reports, hana: Client) -> None:
    found = page_of(hana.get(f"{BASE}lines/?waits=1")).all("input", name="line")
    url = f"{BASE}lines/decide/?{urlencode([('line', box.attrs['value']) for box in found])}"
    short = hana.post(url, {"attribution": "lines", "reason": "ok"})
    assert (short.status_code, typed(short, "reason")) == (422, "ok")
    assert error_beside(short, "reason").startswith("Say why, in 10 characters")

    done = hana.post(url, {"attribution": "variance", "reason": "Agreed with their billing"}, follow=True)

    decision = LineDecision.objects.get()
    assert f"{decision} is approved, and its days were reconciled." in page_of(done).text
    total = rows(hana.get(f"{BASE}lines/"), "Totals in USD, table")[0]
    assert total == ["$6.00", "$17.00", "$11.00", "$0.00", "$17.00", "$0.00", "$11.00", "$0.00"]
    page = hana.get(f"{BASE}lines/{decision.lines.earliest('pk').line_id}/")
    assert rows(page, "Posted, table")[0][2] == "$13.00"
    again = hana.post(url, {"attribution": "variance", "reason": "Agreed with their billing"})
    assert (again.status_code, "does not wait for a decision" in page_of(again).text) == (422, True)
    assert hana.get(f"{BASE}lines/decide/", follow=True).redirect_chain[0][1] == 302


def test_a_second_person_finds_the_decision_and_approves_it(reports: Reports, hana: Client) -> None:
    company = reports.budget.company
    lou = company.client(company.lou)
    policy = {"tolerance": "0.01", "share": "0.1", "second_person_above": "0", "days_to_wait": "2"}
    refused = hana.post(f"{BASE}policies/sandbox/", policy | {"tolerance": "-1", "reason": "Two always"})
    assert (refused.status_code, typed(refused, "tolerance")) == (422, "-1")
    assert hana.post(f"{BASE}policies/sandbox/", policy | {"reason": "Two always"}).status_code == 302
    shown = ReconciliationPolicy.objects.get()
    assert (shown.second_person_above, shown.tolerance_share) == (0, Decimal("0.001"))
    reports.reconciled()
    line = next(one for one in reports.lines() if one.outcome == "open")
    typed_in = {"attribution": "variance", "reason": "Agreed with their billing"}
    hana.post(f"{BASE}lines/decide/?line={line.pk}:{line.revision}", typed_in)
    decision = LineDecision.objects.get()
    url = f"{BASE}decisions/D-{decision.pk}/"

    assert hana.post(f"{url}approve/").status_code == 404
    # Nobody is asked to decide about its line once more.
    listed = page_of(hana.get(f"{BASE}lines/?from={line.day}&to={line.day}"))
    assert listed.one("a", href=url).text == str(decision)
    assert f"{line.pk}:{line.revision}" not in [box.attrs["value"] for box in listed.all("input", name="line")]
    assert {link.text for link in page_of(hana.get(f"{BASE}lines/{line.pk}/")).all("a", href=url)} == {str(decision)}
    assert [row[1:4] for row in rows(lou.get(f"{BASE}decisions/"), "Decisions, table")] == [
        ["Waits for a second person", "1", "$8.00"]
    ]
    assert_readable(lou.get(url))
    assert f"Decide on {decision}: 1 line of sandbox" in page_of(lou.get("/ledger/")).text
    lou.post(f"{url}approve/")
    decision.refresh_from_db()
    assert (decision.state, decision.decided_by) == ("approved", company.lou)


def test_pages_come_back_byte_for_byte_and_no_browser_runs_them(reports: Reports, hana: Client) -> None:
    page = FeedPage.objects.get(fetch=reports.feed.fetches.get())
    answer = hana.get(f"{BASE}pages/{page.pk}/")

    assert b'"model_name": "openai/tank-small"' in answer.content
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert answer.headers["Content-Disposition"].startswith("attachment;")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert rows(hana.get(f"{BASE}fetches/F-{page.fetch_id}/"), "Pages, table")[0][2] == f"{len(answer.content):,}"


def test_a_key_past_tank_is_claimed_and_a_name_is_settled(reports: Reports, hana: Client) -> None:
    key, line = ProviderKey.objects.get(), reports.budget.line.account
    assert rows(hana.get(f"{BASE}keys/"), "Keys, table")[0][5] == "$3.00"
    nobody = {"standing": "claimed", "owner": "nobody@nowhere.example", "reason": "A pilot"}
    refused = hana.post(f"{BASE}keys/{key.pk}/", nobody)
    assert (refused.status_code, error_beside(refused, "owner")) == (422, "Nobody here has this address.")
    missing = hana.post(f"{BASE}keys/{key.pk}/", nobody | {"owner": ""})
    assert error_beside(missing, "owner") == "Say who answers for this key."

    said_so = {"standing": "claimed", "owner": reports.budget.company.ana.email, "account": line.code, "reason": "Ours"}
    assert hana.post(f"{BASE}keys/{key.pk}/", said_so).status_code == 302
    key.refresh_from_db()
    assert (key.standing, key.owner, key.account) == (KeyStanding.CLAIMED, reports.budget.company.ana, line)

    reports.says(said(4, 1, model_name="tank-tiny"))
    reports.reconciled()
    assert rows(hana.get(f"{BASE}names/"), "Names, table")[0][:3] == [
        "tank-tiny sandbox",
        "no model of ours",
        "No model of ours",
    ]
    name = ProviderModelName.objects.get(name="tank-tiny")
    hana.post(f"{BASE}names/{name.pk}/", {"model": reports.budget.model.pk, "reason": "Their new name"})
    name.refresh_from_db()
    assert (name.model, name.how) == (reports.budget.model, "by_hand")


def test_the_clearing_balance_runs_from_day_to_day(reports: Reports, hana: Client) -> None:
    told = exported(hana, "clearing.csv?provider=sandbox")

    assert told[1:] == [
        ["sandbox", day_ago(6).isoformat(), "USD", "4", "4", "0", "0", "0"],
        ["sandbox", day_ago(5).isoformat(), "USD", "2", "0", "0", "0", "2"],
    ]
    page = hana.get(f"{BASE}clearing/")
    assert [row[-1] for row in rows(page, "Clearing balance, table")] == ["$0.00", "$2.00"]
    assert_readable(page)


def queries_of(client: Client, path: str) -> int:
    client.get(path)
    with CaptureQueriesContext(connection) as asked:
        answer: Any = client.get(path)
        assert answer.status_code == 200
        b"".join(answer.streaming_content if answer.streaming else [answer.content])
    return len(asked)


def test_every_list_asks_as_often_for_three_times_the_rows(reports: Reports, hana: Client) -> None:
    paths = ["", "calendar.csv", "lines/", "lines.csv", "lines/{line}/", "clearing/", "feeds/", "feeds/{feed}/"]
    paths += ["fetches/F-{fetch}/", "keys/", "names/", "policies/"]
    urls = [at(reports, path) for path in paths]
    before = [queries_of(hana, url) for url in urls]

    for ago in (4, 3):
        reports.says(
            reports.used(1, ago=ago) | {"amount": "3", "model_name": f"x{ago}/tank-small"},
            said(ago, 3, provider_key=f"key_{ago}"),
        )
    reports.says(said(5, 2, amount="12", model_name="openai/tank-small"), said(5, 3, provider_key="key_9"))
    reports.reconciled()

    assert [queries_of(hana, url) for url in urls] == before


def test_lines_are_paged_by_day_and_id(reports: Reports, hana: Client) -> None:
    names = [f"model-{n:02}" for n in range(60)]
    reports.says(*(said(4, 1, model_name=name) for name in names))
    reports.reconciled()

    first = hana.get(f"{BASE}lines/?provider=sandbox")
    (link,) = [one for one in page_of(first).one("nav", aria_label="Pages").all("a") if one.text == "Older"]
    second = hana.get(f"{BASE}lines/{link.attrs['href']}")

    assert (len(rows(first, "Lines, table")), len(rows(second, "Lines, table"))) == (50, 13)
