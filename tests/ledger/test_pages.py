"""Pages of the ledger, by role: what finance and auditors read, and the little that others may."""

import csv
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from ledger.models import EntryKind, JournalEntry, Rate, RateSource
from ledger.money import usd
from ledger.price_list import PriceStep
from ledger.selectors import today
from ledger.services import entry_reverse, pool_open, rate_propose, usage_post, year_fund
from tests.budget import Budget
from tests.cast import PEOPLE, Company
from tests.pages import assert_readable, heading, page_of, rows

pytestmark = pytest.mark.django_db

EVERYBODY = set(PEOPLE)
FINANCE = {"hana", "jo"}
TEAM = {"ana", "bo", "kim"}
PAGES = {
    "/ledger/": FINANCE,
    "/ledger/year.csv": FINANCE,
    "/ledger/year-burn.csv": FINANCE,
    "/ledger/trial-balance/": FINANCE,
    "/ledger/trial-balance.csv": FINANCE,
    "/ledger/journal/": FINANCE,
    "/ledger/journal/J-{entry}/": FINANCE,
    "/ledger/accounts/pool:q1/": FINANCE,
    "/ledger/accounts/pool:q1/statement.csv": FINANCE,
    "/ledger/accounts/line:{claims}:standard/": FINANCE | TEAM,
    "/ledger/accounts/line:{claims}:standard/statement.csv": FINANCE | TEAM,
    "/ledger/accounts/line:{fraud}:economy/": FINANCE | {"cy"},
    "/ledger/rates/": EVERYBODY,
    "/ledger/rates/{rate}/approve/": {"hana"},
}


@pytest.fixture
def rate(budget: Budget) -> Rate:
    return rate_propose(
        actor=budget.company.ivo,
        model=budget.model,
        source=RateSource.PUBLISHED,
        input_price=Decimal("0.8"),
        output_price=Decimal("3.6"),
        note="Price list of March",
    )


def address(path: str, budget: Budget, rate: Rate) -> str:
    entry = JournalEntry.objects.earliest("pk").pk
    return path.format(claims=budget.claims.number, fraud=budget.fraud.number, entry=entry, rate=rate.pk)


def lines_of(response: Any) -> list[list[str]]:
    return list(csv.reader(b"".join(response.streaming_content).decode().splitlines()))


@pytest.mark.parametrize(("path", "who"), PAGES.items())
def test_each_page_opens_for_those_who_may_see_it_and_is_not_there_for_others(
    budget: Budget, rate: Rate, path: str, who: set[str]
) -> None:
    budget.seal()
    url = address(path, budget, rate)
    answers = {name: budget.company.client(budget.company.person(name)).get(url) for name in PEOPLE}

    assert {name for name, answer in answers.items() if answer.status_code == 200} == who
    assert {name for name, answer in answers.items() if answer.status_code == 404} == EVERYBODY - who
    for answer in answers.values():
        if not answer.streaming:
            assert_readable(answer)


@pytest.mark.parametrize("path", PAGES)
def test_a_stranger_is_sent_to_the_login_page(budget: Budget, rate: Rate, path: str) -> None:
    answer = Client().get(address(path, budget, rate))

    assert answer.status_code == 302
    assert answer["Location"].startswith("/account/login/?next=/ledger/")


@pytest.mark.parametrize("path", ["accounts/line:A-9999:standard/", "journal/J-999999/", "rates/999999/approve/"])
def test_what_was_never_made_is_not_found_either(budget: Budget, path: str) -> None:
    assert budget.company.client(budget.company.hana).get(f"/ledger/{path}").status_code == 404


def test_the_trial_balance_shows_every_account_by_class_and_a_sum_of_zero(budget: Budget) -> None:
    budget.call()
    usage_post(actor=budget.company.system)

    page = budget.company.client(budget.company.hana).get("/ledger/trial-balance/")

    claims, fraud, year = budget.claims.number, budget.fraud.number, today().year
    assert heading(page) == "The books balance"
    assert rows(page) == [
        ["Budget authority · 1 account"],
        [f"authority:FY{year}", f"Budget authority FY{year}", "$0.00", "$1,000.00", "−$1,000.00"],  # noqa: RUF001
        ["Reserve · 1 account"],
        [f"reserve:FY{year}", f"Reserve FY{year}", "$1,000.00", "$600.00", "$400.00"],
        ["Pool · 1 account"],
        ["pool:q1", "Round Q1", "$600.00", "$450.00", "$150.00"],
        ["Committed · 2 accounts"],
        [f"committed:{claims}", f"Committed: {claims} Claims triage", "$400.00", "$400.00", "$0.00"],
        [f"committed:{fraud}", f"Committed: {fraud} Fraud graph", "$50.00", "$50.00", "$0.00"],
        ["Committed, together", "$450.00", "$450.00", "$0.00"],
        ["Allocation line · 3 accounts"],
        [f"line:{claims}:frontier", f"{claims} Claims triage, Frontier", "$100.00", "$0.00", "$100.00"],
        [f"line:{claims}:standard", f"{claims} Claims triage, Standard", "$300.00", "$1.00", "$299.00"],
        [f"line:{fraud}:economy", f"{fraud} Fraud graph, Economy", "$50.00", "$0.00", "$50.00"],
        ["Allocation line, together", "$450.00", "$1.00", "$449.00"],
        ["Metered · 1 account"],
        ["metered:sandbox", "Metered: sandbox", "$1.00", "$0.00", "$1.00"],
        ["Billed · 1 account"],
        ["billed:sandbox", "Billed: sandbox", "$0.00", "$0.00", "$0.00"],
        ["Variance · 1 account"],
        ["variance:sandbox", "Variance: sandbox", "$0.00", "$0.00", "$0.00"],
        ["All accounts, USD", "$2,501.00", "$2,501.00", "$0.00"],
    ]


def test_a_cost_below_a_cent_is_shown_with_the_digits_that_matter_and_exact_on_hover(budget: Budget) -> None:
    budget.call(tokens=41)
    usage_post(actor=budget.company.system)

    page = page_of(budget.company.client(budget.company.hana).get("/ledger/accounts/metered:sandbox/"))

    balance = page.one("div", class_="big").one("data")
    assert (balance.text, balance.attrs["value"], balance.attrs["title"]) == ("$0.000041", "0.000041", "0.000041 USD")


def test_the_trial_balance_of_an_earlier_day_sees_nothing_of_later(budget: Budget) -> None:
    client, yesterday = budget.company.client(budget.company.hana), today() - timedelta(days=1)

    page = client.get("/ledger/trial-balance/", {"on": yesterday.isoformat()})
    exported = lines_of(client.get("/ledger/trial-balance.csv", {"on": yesterday.isoformat()}))

    assert rows(page)[-1] == ["All accounts, USD", "$0.00", "$0.00", "$0.00"]
    assert {line[-1] for line in exported[1:]} == {"0"}


def test_a_day_that_is_none_is_said_so(budget: Budget) -> None:
    page = budget.company.client(budget.company.hana).get("/ledger/trial-balance/?on=31.02.2027")

    assert page.status_code == 422
    assert page_of(page).one(id="id_on_error").text == "Enter a valid date."


def test_the_trial_balance_as_csv_has_every_digit(budget: Budget) -> None:
    budget.call(tokens=41)
    usage_post(actor=budget.company.system)

    answer = budget.company.client(budget.company.hana).get("/ledger/trial-balance.csv")
    lines = lines_of(answer)

    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    assert lines[0] == ["account", "name", "class", "team", "currency", "debits", "credits", "balance"]
    claims = budget.claims.number
    expected = [f"line:{claims}:standard", f"{claims} Claims triage, Standard", "line", "Claims", "USD"]
    assert [*expected, "300", "0.000041", "299.999959"] in lines
    assert sum(Decimal(line[-1]) for line in lines[1:]) == 0


def test_a_statement_runs_from_balance_to_balance(budget: Budget) -> None:
    page = budget.company.client(budget.company.hana).get("/ledger/accounts/pool:q1/")

    day = f"{today():%-d %b %Y}"
    entries = {entry.memo: str(entry) for entry in JournalEntry.objects.all()}
    fraud, claims = (
        f"Award accepted: {budget.fraud.number} Fraud graph",
        f"Award accepted: {budget.claims.number} Claims triage",
    )
    opened = next(entry for entry in JournalEntry.objects.filter(kind=EntryKind.POOL_OPEN))
    assert rows(page) == [
        [day, entries[fraud], f"Award accepted {fraud} “Accepted the offer”", "Tank", "", "$50.00", "$150.00"],
        [day, entries[claims], f"Award accepted {claims} “Accepted the offer”", "Tank", "", "$400.00", "$200.00"],
        [
            day,
            str(opened),
            f"Pool opened {opened.memo} “Round opens”".replace("  ", " "),
            "Tank",
            "$600.00",
            "",
            "$600.00",
        ],
    ]


def test_a_long_statement_goes_on_over_pages_and_whole_in_csv(budget: Budget) -> None:
    for n in range(60):
        year_fund(actor=budget.company.system, amount=usd(1), reason=f"More {n}")
    client, path = budget.company.client(budget.company.hana), f"/ledger/accounts/reserve:FY{today().year}/"

    first = client.get(path)
    older = client.get(path + page_of(first).one("nav", aria_label="Pages").one("a").attrs["href"])
    exported = lines_of(client.get(path + "statement.csv"))

    assert [len(rows(first)), len(rows(older))] == [50, 12]
    assert [row[-1] for row in rows(first)][::49] == ["$460.00", "$411.00"]
    assert [row[-1] for row in rows(older)][::11] == ["$410.00", "$1,000.00"]
    assert [line[-1] for line in exported[1:]] == ["1000", *(str(400 + n) for n in range(61))]


def test_the_page_of_an_entry_shows_postings_reason_and_seal(budget: Budget) -> None:
    budget.seal()
    entry = JournalEntry.objects.get(kind=EntryKind.AWARD, key="test:Claims triage")

    page = budget.company.client(budget.company.jo).get(f"/ledger/journal/J-{entry.pk}/")

    assert heading(page) == "Award accepted"
    claims = budget.claims.number
    assert rows(page) == [
        [f"Committed: {claims} Claims triage committed:{claims}", "$400.00", ""],
        ["Round Q1 pool:q1", "", "$400.00"],
    ]
    words = page_of(page).one("main").text
    assert "Accepted the offer" in words
    assert bytes(entry.seal.hash).hex() in words
    assert bytes(entry.seal.prev_hash).hex() in words


def test_a_reversal_and_its_entry_name_each_other(budget: Budget) -> None:
    pool_open(actor=budget.company.system, code="pool:x", name="Mistake", amount=usd(10), reason="Typo", key="x")
    wrong = JournalEntry.objects.latest("pk")
    right = entry_reverse(actor=budget.company.hana, entry=wrong, reason="Opened twice", approved_by=budget.company.lou)
    client = budget.company.client(budget.company.hana)

    def notes(entry: JournalEntry) -> str:
        return page_of(client.get(f"/ledger/journal/J-{entry.pk}/")).all("div", class_="note")[0].text

    assert notes(wrong) == f"Reversed by {right} ."
    assert notes(right) == f"Reverses {wrong} ."


def test_the_journal_shows_all_kinds_or_one(budget: Budget) -> None:
    budget.seal()
    client = budget.company.client(budget.company.hana)

    assert len(rows(client.get("/ledger/journal/"))) == 6
    only_fund = rows(client.get("/ledger/journal/?kind=fund"))
    assert [row[2] for row in only_fund] == [f"Funding of the fiscal year Funding of FY{today().year}"]
    assert (
        page_of(client.get("/ledger/journal/?kind=overage")).one("div", class_="empty").one("b").text == "No such entry"
    )
    assert client.get("/ledger/journal/?kind=nonsense").status_code == 422


def test_before_the_first_funding_every_page_says_what_to_do(company: Company) -> None:
    client = company.client(company.hana)

    for path, words in {
        "/ledger/": "The year is not funded yet",
        "/ledger/trial-balance/": "No account yet",
        "/ledger/journal/": "Nothing posted yet",
        "/ledger/rates/": "Nothing waits",
    }.items():
        page = client.get(path)
        assert page_of(page).all("div", class_="empty")[0].one("b").text == words
        assert_readable(page)


def test_finance_approves_a_price_once(budget: Budget, rate: Rate) -> None:
    client, path = budget.company.client(budget.company.hana), f"/ledger/rates/{rate.pk}/approve/"

    shown = client.get("/ledger/rates/")
    approved = client.post(path, follow=True)
    again = client.post(path)

    assert rows(shown, "Proposed prices, table")[0][:3] == [
        "tank-small Published price (genai-prices)",
        "$0.80 −20 %",  # noqa: RUF001
        "$3.60 +20 %",
    ]
    assert "The new price of tank-small is approved." in page_of(approved).one("div", class_="toasts").text
    assert rows(approved, "Prices in force, table")[0][2] == "$0.80"
    assert Rate.objects.get(pk=rate.pk).approved_by == budget.company.hana
    assert (again.status_code, page_of(again).one("div", role="alert").text) == (422, "This rate is approved already.")


def test_steps_of_long_calls_stand_below_their_model(budget: Budget) -> None:
    client, company = budget.company.client(budget.company.hana), budget.company
    step = PriceStep(200_000, Decimal(6), Decimal("0.6"), Decimal("7.5"), Decimal(12), Decimal("22.5"))
    rate = rate_propose(
        actor=company.ivo,
        model=budget.model,
        source=RateSource.NEGOTIATED,
        input_price=Decimal(3),
        output_price=Decimal(15),
        further_steps=[step],
    )
    words = "calls above 200,000 input tokens"

    proposed = rows(client.get("/ledger/rates/"), "Proposed prices, table")
    asked = rows(client.get(f"/ledger/rates/{rate.pk}/approve/"), "Prices, table")
    approved = client.post(f"/ledger/rates/{rate.pk}/approve/", follow=True)

    assert [row[0] for row in proposed] == [f"tank-small Negotiated {words}: $6.00 in, $22.50 out"]
    assert [(row[0], row[-1]) for row in asked] == [("Now", "$3.00"), ("New", "$15.00"), (f"New {words}", "$22.50")]
    assert rows(approved, "Prices in force, table")[1] == [
        f"tank-small, {words}", "", "$6.00", "$0.60", "$7.50", "$22.50", "", ""
    ]  # fmt: skip
    assert client.get(f"/ledger/rates/{rate.steps[1].pk}/approve/").status_code == 404


def test_nobody_approves_the_price_that_they_proposed(budget: Budget) -> None:
    own = rate_propose(
        actor=budget.company.hana,
        model=budget.model,
        source=RateSource.NEGOTIATED,
        input_price=Decimal(1),
        output_price=Decimal(1),
    )
    client = budget.company.client(budget.company.hana)

    assert "another person approves" in rows(client.get("/ledger/rates/"), "Proposed prices, table")[0][-1]
    assert client.post(f"/ledger/rates/{own.pk}/approve/").status_code == 404
    assert Rate.objects.get(pk=own.pk).approved_at is None


def test_the_approval_needs_the_token(budget: Budget, rate: Rate) -> None:
    refused = budget.company.client(budget.company.hana, csrf=True).post(f"/ledger/rates/{rate.pk}/approve/")

    assert refused.status_code == 403
    assert Rate.objects.get(pk=rate.pk).approved_at is None


def queries_of(client: Client, path: str) -> int:
    client.get(path)
    with CaptureQueriesContext(connection) as asked:
        answer: Any = client.get(path)
        assert answer.status_code == 200
        b"".join(answer.streaming_content if answer.streaming else [answer.content])
    return len(asked)


@pytest.mark.parametrize(
    "path",
    [
        "/ledger/",
        "/ledger/trial-balance/",
        "/ledger/journal/",
        "/ledger/rates/",
        "/ledger/accounts/reserve:FY{year}/",
        "/ledger/trial-balance.csv",
    ],
)
def test_a_list_asks_as_often_for_three_more_rows(budget: Budget, rate: Rate, path: str) -> None:
    client, url = budget.company.client(budget.company.hana), path.format(year=datetime.now(UTC).year)
    before = queries_of(client, url)

    for n in range(3):
        pool_open(
            actor=budget.company.system, code=f"pool:{n}", name=f"Pool {n}", amount=usd(5), reason="More", key=f"{n}"
        )
        rate_propose(
            actor=budget.company.ivo,
            model=budget.model,
            source=RateSource.PUBLISHED,
            input_price=Decimal(n),
            output_price=Decimal(n),
        )

    assert queries_of(client, url) == before


def test_a_memo_that_a_spreadsheet_would_run_is_quoted_in_csv(budget: Budget) -> None:
    year_fund(actor=budget.company.system, amount=usd(1), reason='=HYPERLINK("http://evil.example")')

    lines = lines_of(
        budget.company.client(budget.company.hana).get(f"/ledger/accounts/reserve:FY{today().year}/statement.csv")
    )

    assert lines[-1][6] == '\'=HYPERLINK("http://evil.example")'
