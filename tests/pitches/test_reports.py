"""The award register: every offer, what became of it, and the entry that moved the money."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from ledger.models import EntryKind, JournalEntry
from ledger.reports.base import Choice, Report, report_of
from ledger.selectors import today
from pitches import services
from tests.cast import PEOPLE, Company
from tests.pages import assert_readable, page_of, rows
from tests.pitches.stage import Stage

pytestmark = pytest.mark.django_db

NOTHING = [(Decimal(0), Decimal(0), "")]


def chosen(*, first: date | None = None, last: date | None = None, **narrower: Any) -> Choice:
    return Choice(starts_on=first or today(), ends_on=last or today(), as_of=datetime.now(UTC), **narrower)


def register() -> Report:
    found = report_of("award-register")
    assert found is not None
    return found


def table(company: Company, choice: Choice | None = None) -> list[dict[str, Any]]:
    choice = choice or chosen()
    names = [column.name for column in register().columns(choice)]
    return [dict(zip(names, row.cells, strict=True)) for row in register().rows(choice, company.hana)]


def ties(choice: Choice | None = None) -> list[tuple[Decimal, Decimal, str]]:
    return [(tie.reported, tie.in_ledger, tie.explained) for tie in register().ties(choice or chosen())]


def test_each_offer_says_what_was_asked_offered_accepted_and_by_which_entry(stage: Stage, company: Company) -> None:
    taken, left, refused = stage.offered("Claims triage", "Fraud graph", "Letters", amount="2000")
    allocation = stage.accepted(taken)
    services.offer_decline(actor=company.ana, offer=refused, reason="We do without")
    entry = JournalEntry.objects.get(kind=EntryKind.AWARD)

    first, second, third = table(company)

    assert first == {
        "on": today(),
        "round": "Q1",
        "pitch": taken.pitch.number,
        "title": "Claims triage",
        "team": "Claims",
        "state": "Accepted",
        "asked": 2400,
        "offered": 2000,
        "accepted": 2000,
        "entry": str(entry),
        "allocation": allocation.number,
        "decided_by": "Gil Example",
        "answered_by": "Ana Example",
    }
    assert (second["pitch"], second["offered"], second["accepted"], second["entry"]) == (
        left.pitch.number,
        2000,
        None,
        "",
    )
    assert (third["state"], third["accepted"], third["answered_by"]) == (
        "Declined by the team",
        None,
        "Ana Example",
    )


def test_what_was_accepted_ties_to_the_committed_accounts(stage: Stage, company: Company) -> None:
    offers = stage.offered("Claims triage", "Fraud graph", amount="1234.56")
    assert ties() == NOTHING

    for offer in offers:
        stage.accepted(offer)

    assert ties() == [(Decimal("2469.12"), Decimal("2469.12"), "")]
    assert ties(chosen(team=company.fraud)) == NOTHING
    assert ties(chosen(unit=company.insurance)) == [(Decimal("2469.12"), Decimal("2469.12"), "")]


def test_a_period_and_a_team_narrow_the_register(stage: Stage, company: Company) -> None:
    [offer] = stage.offered()
    stage.accepted(offer)
    before = today() - timedelta(days=1)

    assert table(company, chosen(first=before, last=before)) == []
    assert ties(chosen(first=before, last=before)) == NOTHING
    assert table(company, chosen(team=company.fraud)) == []
    assert len(table(company, chosen(unit=company.insurance))) == 1


@pytest.mark.parametrize("ending", ["/", ".csv", ".xlsx", ".json"])
def test_it_opens_for_finance_and_auditors_and_is_not_there_for_others(
    stage: Stage, company: Company, ending: str
) -> None:
    [offer] = stage.offered()
    stage.accepted(offer)
    path = f"/ledger/reports/award-register{ending}"
    answers: dict[str, Any] = {name: company.client(company.person(name)).get(path) for name in PEOPLE}

    assert {name for name, answer in answers.items() if answer.status_code == 200} == {"hana", "jo"}
    for answer in answers.values():
        if answer.streaming:
            b"".join(answer.streaming_content)
        else:
            assert_readable(answer)


def test_the_rows_lead_to_the_entry_the_pitch_the_round_and_the_allocation(stage: Stage, company: Company) -> None:
    [offer] = stage.offered()
    allocation = stage.accepted(offer)
    entry = JournalEntry.objects.get(kind=EntryKind.AWARD)

    client = company.client(company.hana)
    page = client.get("/ledger/reports/award-register/")

    links = {link.text: link.attrs["href"] for link in page_of(page).one("main").all("a")}
    assert links[str(entry)] == f"/ledger/journal/J-{entry.pk}/"
    assert links[allocation.number] == f"/allocations/{allocation.number}/"
    for place in (str(entry), offer.pitch.number, "Q1", allocation.number):
        assert client.get(links[place]).status_code == 200


def test_before_the_first_offer_it_is_empty(company: Company) -> None:
    page = company.client(company.hana).get("/ledger/reports/award-register/")

    assert rows(page) == []
    assert page_of(page).all("div", class_="empty")
