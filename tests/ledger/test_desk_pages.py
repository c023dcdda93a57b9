"""Finance's desk as its people use it: each page for whom it is, each action by a form that loses nothing."""

from decimal import Decimal

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from ledger.models import Correction, CorrectionState, EntryKind, JournalEntry, Period, PeriodState
from ledger.selectors import balance, reserve_account, today
from ledger.services import fiscal_year_open
from tests.budget import Budget
from tests.cast import PEOPLE
from tests.pages import page_of, rows

READERS, FINANCE = {"hana", "jo"}, {"hana"}
PAGES = {
    "/ledger/budget/": READERS,
    "/ledger/budget/fund/": FINANCE,
    "/ledger/budget/cut/": FINANCE,
    "/ledger/budget/delegate/": FINANCE,
    "/ledger/budget/lapse/": FINANCE,
    "/ledger/budget/exchange-rate/": FINANCE,
    "/ledger/budget/convert/": FINANCE,
    "/ledger/periods/": READERS,
    "/ledger/periods/{period}/": READERS,
    "/ledger/periods/{period}/begin/": FINANCE,
    "/ledger/periods/{period}/accept/usage_accrued/": FINANCE,
    "/ledger/corrections/": READERS,
    "/ledger/corrections/new/": FINANCE,
    "/ledger/journal/J-{entry}/reverse/": FINANCE,
}


@pytest.fixture
def hana(budget: Budget) -> Client:
    return budget.company.client(budget.company.hana)


@pytest.fixture
def lou(budget: Budget) -> Client:
    return budget.company.client(budget.company.lou)


@pytest.mark.parametrize(("path", "who"), PAGES.items())
def test_each_page_opens_for_those_who_may_see_it_and_is_not_there_for_others(
    budget: Budget, path: str, who: set[str]
) -> None:
    url = path.format(period=f"{today():%Y-%m}", entry=JournalEntry.objects.earliest("pk").pk)
    people = {name: budget.company.client(budget.company.person(name)) for name in PEOPLE}
    answers = {name: client.get(url).status_code for name, client in people.items()}
    assert {name for name, status in answers.items() if status == 200} == who
    assert {status for name, status in answers.items() if name not in who} == {404}


def test_finance_adds_and_cuts_and_what_was_typed_stays_when_it_is_refused(budget: Budget, hana: Client) -> None:
    year = reserve_account().fiscal_year
    assert year is not None
    answer = hana.post("/ledger/budget/fund/", {"year": year.pk, "amount": "1,000", "reason": "A new law"})
    assert (answer.status_code, balance(reserve_account()).amount) == (302, Decimal(1400))

    refused = hana.post("/ledger/budget/cut/", {"year": year.pk, "amount": "1400.01", "reason": "Costs down"})
    assert refused.status_code == 422
    page = page_of(refused)
    assert "Only $1,400.00 of" in page.text
    assert page.one("input", name="amount").attrs["value"] == "1400.01"

    done = hana.post("/ledger/budget/cut/", {"year": year.pk, "amount": "400", "reason": "Costs down"}, follow=True)
    assert "is cut by $400.00" in page_of(done).text
    assert balance(reserve_account()).amount == 1000


def test_the_budget_of_many_years_takes_as_many_queries_as_of_one(budget: Budget, hana: Client) -> None:
    def asked() -> int:
        with CaptureQueriesContext(connection) as queries:
            assert hana.get("/ledger/budget/").status_code == 200
        return len(queries)

    asked()
    of_one, first = asked(), today().replace(month=1, day=1)
    for earlier in (1, 2, 3):
        fiscal_year_open(actor=budget.company.system, first_day=first.replace(year=first.year - earlier))

    assert asked() == of_one
    years = [row[0].split()[0] for row in rows(hana.get("/ledger/budget/"), "Fiscal years, table")]
    assert years == [f"FY{first.year - earlier}" for earlier in range(4)]


def test_what_waits_is_counted_from_an_index_of_its_own(budget: Budget) -> None:
    with connection.cursor() as cursor:
        # A table of a few rows is read whole; what is asked is whether a long one has to be.
        cursor.execute("SET LOCAL enable_seqscan = off")
    assert "Scan using correction_waiting" in Correction.objects.filter(state=CorrectionState.PROPOSED).explain()


def test_each_action_begins_with_the_year_that_it_is_for(budget: Budget, hana: Client) -> None:
    first = today().replace(month=1, day=1)
    for earlier in (1, 2):
        fiscal_year_open(actor=budget.company.system, first_day=first.replace(year=first.year - earlier))

    def chosen(action: str) -> str:
        (year,) = page_of(hana.get(f"/ledger/budget/{action}/")).one("select", name="year").all("option", selected="")
        return year.text

    assert [chosen(name) for name in ("fund", "cut", "convert")] == 3 * [f"FY{first.year}"]
    assert chosen("lapse") == f"FY{first.year - 1}"


def test_finance_delegates_records_a_rate_and_another_converts_at_it(budget: Budget, hana: Client, lou: Client) -> None:
    unit, year = budget.company.insurance, reserve_account().fiscal_year
    assert year is not None
    hana.post("/ledger/budget/delegate/", {"unit": unit.pk, "amount": "100", "reason": "They know best"})
    day = today().isoformat()
    hana.post(
        "/ledger/budget/exchange-rate/",
        {"base": "USD", "quote": "EUR", "rate": "0.9", "valid_on": day, "source": "Central bank"},
    )
    typed = {"year": year.pk, "amount": "50", "into": "EUR", "effective_on": day, "reason": "A team pays in euro"}
    refused = hana.post("/ledger/budget/convert/", typed)
    assert refused.status_code == 422
    assert "another person of finance has to convert at it" in page_of(refused).text
    assert page_of(refused).one("input", name="amount").attrs["value"] == "50"
    assert lou.post("/ledger/budget/convert/", typed).status_code == 302

    page = hana.get("/ledger/budget/")
    words = page_of(page).text

    assert "Insurance" in words
    assert "€45.00" in words
    (row,) = rows(page, "Exchange rates, table")
    day_words = f"{today():%-d %b %Y}"
    assert row == [day_words, "USD/EUR", "0.9", f"Central bank Hana Example, {day_words}"]
    assert balance(reserve_account()).amount == 250


def test_a_month_is_closed_page_by_page_and_reopened_by_two(budget: Budget, hana: Client, lou: Client) -> None:
    first = today().replace(day=1)
    year = fiscal_year_open(actor=budget.company.system, first_day=first.replace(year=first.year - 2))
    month = year.periods.order_by("starts_on")[0]
    url = f"/ledger/periods/{month}/"

    assert "Begin to close" in page_of(hana.get(url)).text
    hana.post(f"{url}begin/")
    hana.post(f"{url}close/")
    assert Period.objects.get(pk=month.pk).state == PeriodState.CLOSED

    hana.post(f"{url}reopen/", {"reason": "An invoice was missed"})
    asked = month.reopenings.get()
    assert "A second person of finance decides." in page_of(hana.get(url)).text
    assert hana.post(f"/ledger/reopenings/{asked.pk}/grant/").status_code == 404
    lou.post(f"/ledger/reopenings/{asked.pk}/grant/")
    assert Period.objects.get(pk=month.pk).state == PeriodState.OPEN
    assert "Granted the reopening" in page_of(hana.get(url)).text


def test_an_adjustment_is_proposed_with_postings_that_balance_and_posted_by_another(
    budget: Budget, hana: Client, lou: Client
) -> None:
    typed = {
        "reason": "Charged to the wrong line",
        "effective_on": today().isoformat(),
        "account_1": "variance:sandbox",
        "debit_1": "30",
        "account_2": f"line:{budget.fraud.number}:economy",
        "credit_2": "29",
    }
    refused = hana.post("/ledger/corrections/new/", typed)
    assert refused.status_code == 422
    assert page_of(refused).one("input", name="credit_2").attrs["value"] == "29"

    hana.post("/ledger/corrections/new/", typed | {"credit_2": "30"})
    correction = Correction.objects.get()
    url = f"/ledger/corrections/C-{correction.pk}/"
    assert hana.get(f"{url}approve/").status_code == 404  # not one's own
    assert "Charged to the wrong line" in page_of(lou.get(url)).text
    lou.post(f"{url}approve/")

    entry = JournalEntry.objects.get(kind=EntryKind.ADJUSTMENT)
    assert (entry.actor, entry.approved_by) == (budget.company.hana, budget.company.lou)
    assert f"posted as {entry}" in page_of(hana.get(url)).text


def test_a_posting_needs_a_known_account_and_one_side(budget: Budget, hana: Client) -> None:
    typed = {"reason": "x", "effective_on": today().isoformat(), "account_1": "nowhere", "debit_1": "1"}
    both = {"account_2": "variance:sandbox", "debit_2": "1", "credit_2": "1", "debit_3": "2"}
    words = page_of(hana.post("/ledger/corrections/new/", typed | both)).text
    assert "There is no account nowhere." in words
    assert "Give either a debit or a credit." in words
    assert "Name the account of this amount." in words


def test_a_reversal_is_proposed_on_the_page_of_its_entry_and_can_be_refused(
    budget: Budget, hana: Client, lou: Client
) -> None:
    entry = JournalEntry.objects.earliest("pk")
    assert "Propose a reversal" in page_of(hana.get(f"/ledger/journal/J-{entry.pk}/")).text
    hana.post(f"/ledger/journal/J-{entry.pk}/reverse/", {"reason": "Twice"})
    correction = Correction.objects.get()
    lou.post(f"/ledger/corrections/C-{correction.pk}/refuse/", {"reason": "It was once"})
    assert "It was once" in page_of(hana.get(f"/ledger/corrections/C-{correction.pk}/")).text
    assert not JournalEntry.objects.filter(reverses=entry).exists()
