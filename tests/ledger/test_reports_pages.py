"""Every report has a page and files, made from its description: filters, permission, totals, rows."""

import csv
import json
from io import BytesIO
from typing import Any
from zipfile import ZipFile

import pytest
from django.test import Client

from ledger.money import usd
from ledger.reports.base import all_reports
from ledger.selectors import today
from ledger.services import year_fund
from tests.budget import Budget
from tests.cast import PEOPLE, Company
from tests.pages import assert_readable, error_beside, heading, page_of, rows, typed

pytestmark = pytest.mark.django_db

OURS = [report.slug for report in all_reports() if type(report).__module__.startswith("ledger.")]


def content(answer: Any) -> bytes:
    assert answer.status_code == 200
    return b"".join(answer.streaming_content)


def test_the_list_names_every_report_with_its_question(budget: Budget) -> None:
    page = budget.company.client(budget.company.hana).get("/ledger/reports/")

    links = {link.attrs["href"] for link in page_of(page).one("main").all("a")}
    assert {f"/ledger/reports/{slug}/" for slug in OURS} <= links
    assert_readable(page)


@pytest.mark.parametrize("slug", OURS)
def test_a_report_opens_for_finance_and_auditors_and_is_not_there_for_others(company: Company, slug: str) -> None:
    answers = {name: company.client(company.person(name)).get(f"/ledger/reports/{slug}/") for name in PEOPLE}

    assert {name for name, answer in answers.items() if answer.status_code == 200} == {"hana", "jo"}
    assert {answer.status_code for answer in answers.values()} == {200, 404}
    for answer in answers.values():
        assert_readable(answer)


@pytest.mark.parametrize("slug", OURS)
def test_its_files_are_for_the_same_people(company: Company, slug: str) -> None:
    for suffix in ("csv", "xlsx", "json"):
        path = f"/ledger/reports/{slug}.{suffix}"
        assert content(company.client(company.jo).get(path))
        assert company.client(company.ana).get(path).status_code == 404


def test_a_stranger_is_sent_to_the_login_page(db: None) -> None:
    for path in ("/ledger/reports/", "/ledger/reports/trial-balance/", "/ledger/reports/trial-balance.csv"):
        assert Client().get(path)["Location"].startswith("/account/login/?next=/ledger/")


def test_a_report_that_nobody_registered_is_not_found(company: Company) -> None:
    client = company.client(company.hana)

    assert client.get("/ledger/reports/nonsense/").status_code == 404
    assert client.get("/ledger/reports/nonsense.csv").status_code == 404


def test_a_time_to_come_is_refused_and_what_was_typed_stays(budget: Budget) -> None:
    client = budget.company.client(budget.company.hana)

    page = client.get("/ledger/reports/trial-balance/?as_of=2999-01-01T00:00")
    file = client.get("/ledger/reports/trial-balance.csv?as_of=2999-01-01T00:00")

    assert (page.status_code, file.status_code) == (422, 422)
    assert error_beside(page, "as_of") == "This time has not come yet."
    assert typed(page, "as_of") == "2999-01-01T00:00"
    assert_readable(page)


@pytest.mark.parametrize(
    ("query", "field", "words"),
    [
        ("from=2027-02-31", "from", "Enter a valid date."),
        ("from=2027-03-02&to=2027-03-01", "to", "The last day lies before the first."),
        ("to=9999-12-31", "to", "Choose a day from 2000 to 2199."),
        ("as_of=0001-01-01T00:00", "as_of", "Choose a day from 2000 to 2199."),
        ("team=nobody", "team", "There is none with this name."),
        ("team=%00", "team", "Null characters are not allowed."),
        ("model=' OR 1=1", "model", "There is none with this name."),
        ("tag_value=sort", "tag", "Say which tag has this value."),
        ("tag=%00", "tag", "Null characters are not allowed."),
    ],
)
def test_a_filter_that_makes_no_sense_is_refused_beside_its_field(
    company: Company, query: str, field: str, words: str
) -> None:
    page = company.client(company.hana).get(f"/ledger/reports/chargeback/?{query}")

    assert page.status_code == 422
    assert error_beside(page, field) == words
    assert not page_of(page).all("table")


def test_an_account_is_named_by_its_code(budget: Budget) -> None:
    client = budget.company.client(budget.company.hana)

    wrong = client.get("/ledger/reports/account-statement/?account=pool:q9")
    right = client.get("/ledger/reports/account-statement/?account=pool:q1")
    none = client.get("/ledger/reports/account-statement/")

    assert error_beside(wrong, "account") == "No account has this code."
    assert typed(wrong, "account") == "pool:q9"
    assert rows(right)[-1][-1] == "$150.00"
    assert page_of(none).one("div", class_="empty").one("b").text == "Nothing to report"


def test_the_address_keeps_the_filters_and_the_usual_periods_keep_the_others(budget: Budget) -> None:
    client = budget.company.client(budget.company.hana)
    page = page_of(client.get("/ledger/reports/chargeback/?team=claims&from=2027-03-01&to=2027-03-31"))

    presets = page.one("nav", aria_label="Usual periods").all("a")
    year = today().year
    assert [link.text for link in presets] == ["This month", "Last month", "This fiscal year"]
    assert presets[2].attrs["href"] == f"?from={year}-01-01&to={year}-12-31&team=claims"
    exports = [link.attrs["href"] for link in page.one("div", class_="actions").all("a")]
    assert {href.split("&as_of=")[0].split("?")[1] for href in exports} == {"from=2027-03-01&to=2027-03-31&team=claims"}
    assert page.one("select", name="team").one("option", selected="").text == "Claims"


def test_a_long_report_shows_its_first_rows_and_where_the_others_are(budget: Budget) -> None:
    for n in range(110):
        year_fund(actor=budget.company.system, amount=usd(1), reason=f"More {n}")

    page = budget.company.client(budget.company.hana).get("/ledger/reports/journal/")

    assert len(rows(page)) == 200
    assert "These are the first 200 rows. All of them are in the files" in page_of(page).one("main").text


def test_page_and_files_have_the_same_rows(budget: Budget) -> None:
    client = budget.company.client(budget.company.jo)
    page = client.get("/ledger/reports/trial-balance/")

    addresses = [link.attrs["href"] for link in page_of(page).one("div", class_="actions").all("a")]
    as_csv, as_xlsx, as_json = (content(client.get(address)) for address in addresses)

    lines = list(csv.reader(as_csv.decode().splitlines()))
    table = lines[lines.index(next(line for line in lines if not line[0].startswith("# "))) :]
    data = json.loads(as_json)
    assert heading(page) == "Trial balance"
    assert [row[0] for row in rows(page)] == [line[0] for line in table[1:]] == [r["account"] for r in data["rows"]]
    assert table[1] == [
        f"authority:FY{today().year}",
        f"Budget authority FY{today().year}",
        "Budget authority",
        "USD",
        "0",
        "1000",
        "-1000",
    ]
    assert data["ties"][0] | {"explained": ""} == {
        "label": "Debits",
        "currency": "USD",
        "reported": "2500",
        "in_ledger": "2500",
        "difference": "0",
        "accounts": "the credits",
        "explained": "",
    }
    assert ["# As of, UTC", data["as_of"]] in lines
    sheet = ZipFile(BytesIO(as_xlsx)).read("xl/worksheets/sheet2.xml").decode()
    assert sheet.count("<row ") == len(table)
    assert "<v>-1000</v>" in sheet
