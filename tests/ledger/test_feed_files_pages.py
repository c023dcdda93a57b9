"""The page on which files come in: for whom it is, every problem at its place, and the checked bytes imported."""

from datetime import timedelta

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from ledger.models import Feed, FeedBody, FeedFetch, FeedFigure, Provider
from ledger.selectors import today
from marketplace.asgi import most_bytes
from tests.budget import Budget
from tests.cast import PEOPLE
from tests.pages import assert_readable, error_beside, page_of, rows, typed

PAGE = "/ledger/reconciliation/import/"
HEADER = "day,model,key,input_tokens,amount\n"


@pytest.fixture
def hana(budget: Budget) -> Client:
    return budget.company.client(budget.company.hana)


def feed_made(client: Client) -> Feed:
    provider = Provider.objects.get(name="sandbox")
    client.post(f"{PAGE}new/", {"provider": provider.pk, "kind": "plain", "gives": ["tokens", "money"]})
    return Feed.objects.get()


def sent(feed: Feed, text: str, **more: str) -> dict[str, object]:
    return {"feed": feed.pk, "file": SimpleUploadedFile("october.csv", text.encode())} | more


def good() -> str:
    return f"{HEADER}{today() - timedelta(days=1)},mystery,k-9,1000,0.125\n"


def test_the_pages_are_there_for_finance_and_auditors_and_for_nobody_else(budget: Budget) -> None:
    clients = {name: budget.company.client(budget.company.person(name)) for name in PEOPLE}
    for url, who in {
        PAGE: {"hana", "jo"},
        f"{PAGE}sample-plain.csv": {"hana", "jo"},
        f"{PAGE}new/": {"hana"},
    }.items():
        assert {name for name, client in clients.items() if client.get(url).status_code == 200} == who, url
    feed = feed_made(clients["hana"])
    answers = {name: client.post(PAGE, sent(feed, good())).status_code for name, client in clients.items()}
    assert {name for name, status in answers.items() if status == 200} == {"hana"}
    assert {status for name, status in answers.items() if name != "hana"} == {404}
    assert clients["jo"].post(f"{PAGE}now/").status_code == 404
    assert budget.company.client().get(PAGE).status_code == 302
    assert clients["hana"].get(f"{PAGE}sample-openai_usage.csv").status_code == 404


def test_an_empty_page_says_how_a_file_must_look_and_offers_a_feed(hana: Client) -> None:
    answer = hana.get(PAGE)
    assert_readable(answer)
    page = page_of(answer)
    assert "No feed takes files yet" in page.text
    assert "No file was imported yet" in page.text
    assert rows(answer, "Columns, table")[0] == ["day", "The day of the usage in UTC, like 2026-11-05. Must be there."]
    sample = hana.get(f"{PAGE}sample-focus.csv")
    assert sample["Content-Disposition"] == 'attachment; filename="sample-focus.csv"'
    assert sample.content.startswith(b"BilledCost,BillingCurrency,")


def test_a_checked_file_is_imported_without_choosing_it_again(hana: Client) -> None:
    feed = feed_made(hana)
    answer = hana.post(PAGE, sent(feed, good()))
    assert_readable(answer)
    page = page_of(answer)
    assert "Nothing is wrong with october.csv" in page.text
    assert "Models that nobody knows here: mystery." in page.text
    assert "Keys that nobody knows here: k-9." in page.text
    assert rows(answer, "By model, table") == [["mystery", "Tokens", "1", "0", "1,000", "0", "$0.1250"]]
    [[day, *totals]] = rows(answer, "Days, table")
    assert (day.endswith("new"), totals) == (True, ["", "$0.1250", "", "1,000"])
    assert FeedFetch.objects.count() == 0

    done = hana.post(f"{PAGE}now/", {"upload": typed(answer, "upload")}, follow=True)

    assert "october.csv is imported as F-" in page_of(done).text
    assert FeedFigure.objects.get().input_tokens == 1000
    assert [row[1] for row in rows(done, "Imports, table")] == ["sandbox: CSV"]
    again = hana.post(f"{PAGE}now/", {"upload": typed(answer, "upload")}, follow=True)
    assert "Imported already on" in page_of(again).text
    assert "october.csv is imported already" in page_of(hana.post(PAGE, sent(feed, good()))).text
    assert FeedFetch.objects.count() == 1


def test_every_problem_is_shown_with_its_line_and_column_and_nothing_is_kept(hana: Client) -> None:
    feed = feed_made(hana)
    answer = hana.post(PAGE, sent(feed, f"{HEADER}2026-11-05,m,,1.5,x\n", first="2026-11-01", last="2026-11-30"))
    assert answer.status_code == 422
    assert_readable(answer)
    assert rows(answer, "Problems, table") == [
        ["2", "input_tokens", "“1.5” is not a count: a whole number, zero or more"],
        ["2", "amount", "“x” is not a number: write it like 1234.5, with a point and nothing between thousands"],
    ]
    assert page_of(answer).one("pre", id="faults-text").text.startswith("Line 2 input_tokens “1.5” is not a count")
    assert [typed(answer, name) for name in ("first", "last")] == ["2026-11-01", "2026-11-30"]
    assert FeedBody.objects.count() == 0


def test_what_was_typed_stays_when_the_form_is_refused(hana: Client) -> None:
    feed = feed_made(hana)
    answer = hana.post(PAGE, sent(feed, good(), first="2026-11-30", last="2026-11-01"))
    assert answer.status_code == 422
    assert error_beside(answer, "last") == "It ends before it begins."
    assert typed(answer, "first") == "2026-11-30"
    assert error_beside(hana.post(PAGE, {"feed": feed.pk}), "file") == "Choose a file."
    provider = {"provider": feed.provider_id, "kind": "focus", "gives": ["money"]}
    twice = hana.post(f"{PAGE}new/", provider)
    assert error_beside(twice, "provider") == "sandbox has a feed of that already: two would count it twice."


def test_what_was_not_checked_by_the_same_person_today_is_not_imported(budget: Budget, hana: Client) -> None:
    feed = feed_made(hana)
    token = typed(hana.post(PAGE, sent(feed, good())), "upload")
    lou = budget.company.client(budget.company.lou)
    for client, said in ((lou, token), (hana, token[:-1]), (hana, "")):
        refused = client.post(f"{PAGE}now/", {"upload": said}, follow=True)
        assert "choose it again" in page_of(refused).text
    assert FeedFetch.objects.count() == 0


def test_a_file_of_a_hundred_mebibytes_reaches_the_page() -> None:
    assert most_bytes(PAGE) > 100 * 1024 * 1024
    assert most_bytes(f"{PAGE}now/") < 3 * 1024 * 1024
