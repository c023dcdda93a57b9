"""From a journal entry to the calls that its sum is made of."""

import csv
from decimal import Decimal
from typing import Any

import pytest

from ledger.models import EntryKind, JournalEntry, Posting
from ledger.services import usage_post
from tests.budget import Budget
from tests.cast import PEOPLE
from tests.ledger.calls import Usage, usage
from tests.pages import assert_readable, heading, page_of, rows

__all__ = ["usage"]
pytestmark = pytest.mark.django_db


def posted(budget: Budget) -> JournalEntry:
    (entry,) = usage_post(actor=budget.company.system)
    return entry


def lines(answer: Any) -> list[list[str]]:
    return list(csv.reader(b"".join(answer.streaming_content).decode().splitlines()))


def test_an_entry_of_usage_leads_to_its_calls_and_they_sum_to_it(budget: Budget) -> None:
    budget.call(tokens=41)
    budget.call(tokens=59)
    entry = posted(budget)
    client = budget.company.client(budget.company.jo)

    link = page_of(client.get(f"/ledger/journal/J-{entry.pk}/")).one("div", class_="actions").one("a")
    page = client.get(link.attrs["href"])
    exported = lines(client.get(f"/ledger/journal/J-{entry.pk}/usage.csv"))

    assert heading(page) == f"Calls behind {entry}"
    assert_readable(page)
    assert [row[-1] for row in rows(page, "Calls, table")] == ["$0.000059", "$0.000041"]
    charged = exported[0].index("charged")
    amount = Posting.objects.get(entry=entry, amount__gt=0).amount
    assert sum(Decimal(line[charged]) for line in exported[1:]) == amount == Decimal("0.0001")


def test_what_came_later_in_the_hour_says_what_was_there_before(budget: Budget) -> None:
    budget.call()
    posted(budget)
    budget.call(tokens=500_000)
    second = posted(budget)

    page = page_of(budget.company.client(budget.company.hana).get(f"/ledger/journal/J-{second.pk}/usage/"))

    facts = page.one("dl").text
    assert "Calls so far 2, of which 1 were posted before" in facts
    assert "Charged so far $1.50 USD" in facts


def test_an_entry_of_overage_leads_to_the_same_calls(usage: Usage) -> None:
    usage_post(actor=usage.budget.company.system)
    overage = JournalEntry.objects.get(kind=EntryKind.OVERAGE)

    page = usage.budget.company.client(usage.budget.company.hana).get(f"/ledger/journal/J-{overage.pk}/usage/")

    assert [row[-2:] for row in rows(page, "Calls, table")] == [["$50.00", "$48.00"], ["$2.00", "$2.00"]]
    assert "Overage so far $2.00 USD" in page_of(page).one("dl").text


def test_many_calls_go_on_over_pages(budget: Budget) -> None:
    for _ in range(60):
        budget.call(tokens=1)
    entry = posted(budget)
    client, path = budget.company.client(budget.company.hana), f"/ledger/journal/J-{entry.pk}/usage/"

    first = client.get(path)
    older = client.get(path + page_of(first).one("nav", aria_label="Pages").one("a").attrs["href"])
    end = client.get(path + "?before=0")

    assert [len(rows(page, "Calls, table")) for page in (first, older)] == [50, 10]
    assert page_of(end).one("div", class_="empty").one("p").text == "There is no older call in this hour."


def test_only_finance_and_auditors_see_them_and_other_entries_have_none(budget: Budget) -> None:
    budget.call()
    entry, other = posted(budget), JournalEntry.objects.earliest("pk")

    for ending in ("usage/", "usage.csv"):
        answers = {
            name: budget.company.client(budget.company.person(name)).get(f"/ledger/journal/J-{entry.pk}/{ending}")
            for name in PEOPLE
        }
        assert {name for name, answer in answers.items() if answer.status_code == 200} == {"hana", "jo"}
        client = budget.company.client(budget.company.hana)
        assert client.get(f"/ledger/journal/J-{other.pk}/{ending}").status_code == 404
