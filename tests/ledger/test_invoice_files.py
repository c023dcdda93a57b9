"""Invoices that come in a file: every problem at its place, then all of them entered or none, for a second person."""

from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta

import psycopg
import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import DatabaseError, connection, transaction
from django.test import Client

from ledger.models import FeedBody, InvoiceState, Provider, ProviderInvoice
from ledger.money import usd
from ledger.providers.base import FileRefused
from ledger.selectors import today
from ledger.services import invoice_agree, invoice_enter, invoice_withdraw
from ledger.services.bodies import bodies_clear, body_of
from ledger.services.invoice_files import MOST_BYTES, MOST_INVOICES, invoices_check, invoices_import, invoices_sample
from teams.errors import NotAllowed, Refused
from teams.models import AuditEvent
from tests.budget import Budget, open_budget
from tests.cast import COMPLIANCE, PEOPLE, build_company
from tests.conftest import FreshDatabase
from tests.pages import assert_readable, error_beside, page_of, rows, typed
from tests.processes import until

PAGE = "/ledger/invoices/import/"
HEADER = "provider,number,month,issued_on,amount,currency,tax,note\n"
NEEDED = "provider,number,month,issued_on,amount\n"


def faults(text: str) -> list[tuple[int, str, str]]:
    found = invoices_check(content=text.encode(), name="october.csv").findings
    return [(fault.line, fault.column, fault.message) for fault in found.faults]


def entered(budget: Budget, text: str | bytes) -> list[ProviderInvoice]:
    content = text if isinstance(text, bytes) else text.encode()
    return invoices_import(actor=budget.company.hana, content=content, name="october.csv")


# --- The service --------------------------------------------------------------------------------


def test_each_row_becomes_an_invoice_of_that_person_that_a_second_one_decides(budget: Budget) -> None:
    hana, lou = budget.company.hana, budget.company.lou

    first, credit = entered(
        budget,
        f'{HEADER}sandbox,R-7,2026-03,2026-04-02,1250.50,USD,237.6,"Calls, mostly"\n'
        "Sandbox, C-1 ,2026-03,2026-04-03,-0.000000000001,,,\n",
    )

    assert [first.provider.name, first.number, first.month, first.issued_on] == [
        "sandbox", "R-7", date(2026, 3, 1), date(2026, 4, 2),
    ]  # fmt: skip
    assert [first.money, str(first.tax), first.note] == [usd("1250.5"), "237.6", "Calls, mostly"]
    assert [credit.number, credit.money, credit.tax, credit.note] == ["C-1", usd("-0.000000000001"), 0, ""]
    assert {(one.state, one.entered_by, one.entry) for one in (first, credit)} == {(InvoiceState.ENTERED, hana, None)}
    imported = AuditEvent.objects.filter(verb="invoice.import").order_by("pk")
    assert [(one.actor, one.details["file"], one.details["line"]) for one in imported] == [
        (hana, "october.csv", 2),
        (hana, "october.csv", 3),
    ]
    with pytest.raises(NotAllowed, match="another person"):
        invoice_agree(actor=hana, invoice=first)
    assert invoice_agree(actor=lou, invoice=first).entry is not None


def test_semicolons_a_byte_order_mark_and_columns_in_any_order_are_read(budget: Budget) -> None:
    (one,) = entered(
        budget, b"\xef\xbb\xbfAmount;Number;Provider;issued_on;month\r\n10;A-1;sandbox;2026-04-02;2026-03\r\n"
    )
    assert [one.number, one.money, one.month] == ["A-1", usd(10), date(2026, 3, 1)]


def test_every_problem_is_said_with_its_line_and_column(budget: Budget) -> None:
    tomorrow = today() + timedelta(days=1)
    text = (
        f"{HEADER}nobody,,2026-13,5.4.2026,x,usd,-1,{'n' * 301}\n"
        f'sandbox,"A\n-1",2026-03,{tomorrow},0,EUR,0.0000000000001,\n'
        "sandbox,A-2,2026-03,2026-02-28,1.0000000000001,USD,,\n"
        "sandbox,A-2,,,,USD,,\n"
        "sandbox,A-3\n"
    )
    assert faults(text) == [
        (2, "provider", "“nobody” is not known: one of sandbox"),
        (2, "number", "is blank"),
        (2, "note", "has 301 characters, at most 300 can be kept"),
        (2, "month", "“2026-13” is not a month: write it like 2026-11"),
        (2, "issued_on", "“5.4.2026” is not a day: write it like 2026-11-05"),
        (2, "amount", "“x” is not a number: write it like 1234.5, with a point and nothing between thousands"),
        (2, "tax", "is less than zero: it is written without a sign, a credit note's too"),
        (2, "currency", "“usd” is not a currency: three capital letters, like USD"),
        (3, "tax", "“0.0000000000001” has more than 12 decimal places"),
        (3, "amount", "An invoice over nothing need not be entered."),
        (3, "currency", "Metered: sandbox is kept in USD; enter the amount in that."),
        (3, "issued_on", f"{tomorrow} lies in the future."),
        (5, "amount", "“1.0000000000001” has more than 12 decimal places"),
        (5, "issued_on", "It was issued before its month began."),
        (6, "month", "is blank"),
        (6, "issued_on", "is blank"),
        (6, "amount", "is blank"),
        (6, "number", "stands on line 5 already: sandbox's invoice A-2"),
        (7, "the whole line", "has 2 cells, the header has 8"),
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", [(1, "the file", "is empty")]),
        (NEEDED, [(1, "the file", "has no invoice below its header")]),
        (
            "provider,number,month,issued_on,ammount\n",
            [
                (1, "ammount", f"is not known: one of {HEADER.strip().replace(',', ', ')}"),
                (1, "amount", "is missing from the header"),
            ],
        ),
        (f'{NEEDED}sandbox,"A-1', [(2, "the whole line", "cannot be read")]),
    ],
)
def test_a_file_that_is_no_list_of_invoices_is_refused(
    budget: Budget, text: str, expected: list[tuple[int, str, str]]
) -> None:
    found = faults(text)
    assert [(line, column) for line, column, _ in found] == [(line, column) for line, column, _ in expected]
    assert all(said.startswith(words) for (*_, said), (*_, words) in zip(found, expected, strict=True))


def test_a_number_that_is_known_is_a_fault_and_then_nothing_is_entered(budget: Budget) -> None:
    hana, sandbox = budget.company.hana, Provider.objects.get(name="sandbox")
    month = date(2026, 3, 1)
    known = invoice_enter(
        actor=hana, provider=sandbox, number="A-1", month=month, issued_on=date(2026, 4, 2), amount=usd(1)
    )
    text = f"{NEEDED}sandbox,A-2,2026-03,2026-04-02,5\nsandbox,A-1,2026-03,2026-04-02,5\n"

    with pytest.raises(FileRefused) as refused:
        entered(budget, text)

    assert [(one.line, one.column, one.message) for one in refused.value.faults] == [
        (3, "number", "sandbox's invoice A-1 is entered already.")
    ]
    assert ProviderInvoice.objects.get() == known
    invoice_withdraw(actor=hana, invoice=known)
    assert [one.number for one in entered(budget, text)] == ["A-2", "A-1"]


def test_a_file_that_is_too_large_or_too_long_is_refused(budget: Budget) -> None:
    with pytest.raises(Refused, match="at most 1 MB") as refused:
        invoices_check(content=b"x" * (MOST_BYTES + 1), name="large.csv")
    assert refused.value.code == "file_too_large"
    lines = "".join(f"sandbox,A-{n},2026-03,2026-04-02,5\n" for n in range(MOST_INVOICES + 5))
    assert faults(NEEDED + lines) == [(1002, "the file", "has more than 1000 invoices: import it in parts")]


def test_only_who_enters_invoices_imports_them(budget: Budget) -> None:
    allowed = set()
    for name in (*PEOPLE, COMPLIANCE):
        text = f"{NEEDED}sandbox,{name},2026-03,2026-04-02,5\n"
        try:
            invoices_import(actor=budget.company.person(name), content=text.encode(), name="a.csv")
        except NotAllowed:
            continue
        allowed.add(name)
    assert allowed == {"hana"}


def test_a_button_pressed_twice_enters_once_and_says_so(
    fresh_database: FreshDatabase, owner_connection: psycopg.Connection
) -> None:
    hana, text = open_budget(build_company()).company.hana, f"{NEEDED}sandbox,A-1,2026-03,2026-04-02,5\n"
    sandbox = Provider.objects.get(name="sandbox")

    def press() -> str:
        try:
            invoices_import(actor=hana, content=text.encode(), name="october.csv")
        except Refused as refused:
            return refused.code
        finally:
            connection.close()
        return "entered"

    def both_wait() -> bool:
        waiting = """SELECT count(*) FROM pg_locks JOIN pg_database d ON d.oid = database
                      WHERE datname = current_database() AND classid = 7246885 AND NOT granted"""
        return owner_connection.execute(waiting).fetchone() == (2,)

    # Somebody decides on another invoice of the provider meanwhile.
    owner_connection.execute("SELECT pg_advisory_xact_lock(7246885, %s)", (sandbox.pk,))
    with ThreadPoolExecutor(2) as people:
        pressed = [people.submit(press) for _ in range(2)]
        try:
            until(both_wait, within=60, what="both wait for the lock")
        finally:
            owner_connection.commit()

    assert sorted(one.result() for one in pressed) == ["entered", "number_known"]
    assert ProviderInvoice.objects.count() == 1


# --- Pages --------------------------------------------------------------------------------------


@pytest.fixture
def hana(budget: Budget) -> Client:
    return budget.company.client(budget.company.hana)


def sent(text: str) -> dict[str, object]:
    return {"file": SimpleUploadedFile("october.csv", text.encode())}


def good(number: str = "R-7") -> str:
    return f"{HEADER}sandbox,{number},2026-03,2026-04-02,-1250.50,USD,237.60,An outage\n"


def test_the_pages_are_there_for_finance_and_for_nobody_else(budget: Budget) -> None:
    clients = {name: budget.company.client(budget.company.person(name)) for name in (*PEOPLE, COMPLIANCE)}
    for url in (PAGE, f"{PAGE}sample.csv"):
        assert {name for name, client in clients.items() if client.get(url).status_code == 200} == {"hana"}, url
    for name, client in clients.items():
        assert client.post(PAGE, sent(good())).status_code == (200 if name == "hana" else 404)
        assert client.post(f"{PAGE}now/").status_code == (302 if name == "hana" else 404)
    assert budget.company.client().get(PAGE).status_code == 302
    assert "From a file" in page_of(clients["hana"].get("/ledger/invoices/")).text
    assert "From a file" not in page_of(clients["jo"].get("/ledger/invoices/")).text


def test_the_page_says_how_a_file_must_look_and_its_sample_can_be_imported(hana: Client) -> None:
    answer = hana.get(PAGE)
    assert_readable(answer)
    assert [name for name, _ in rows(answer, "Columns, table")] == HEADER.strip().split(",")
    sample = hana.get(f"{PAGE}sample.csv")
    assert sample["Content-Disposition"] == 'attachment; filename="sample-invoices.csv"'
    assert sample.content.decode() == invoices_sample()
    assert faults(invoices_sample()) == []


def test_a_checked_file_is_entered_without_choosing_it_again(hana: Client) -> None:
    answer = hana.post(PAGE, sent(good()))
    assert_readable(answer)
    assert "Nothing is wrong with october.csv" in page_of(answer).text
    assert rows(answer, "Rows, table") == [
        ["2", "sandbox R-7", "Mar 2026", "2 Apr 2026", "−$1,250.50", "$237.60", "An outage"]  # noqa: RUF001 - the minus sign
    ]
    assert ProviderInvoice.objects.count() == 0

    done = hana.post(f"{PAGE}now/", {"upload": typed(answer, "upload")}, follow=True)

    assert "october.csv is imported: 1 invoice waits for a second person." in page_of(done).text
    assert "sandbox R-7" in page_of(done).text
    again = hana.post(f"{PAGE}now/", {"upload": typed(answer, "upload")}, follow=True)
    assert "Nothing was entered. Line 2, number: sandbox's invoice R-7 is entered already." in page_of(again).text
    assert ProviderInvoice.objects.count() == 1


def test_what_invoices_came_in_is_kept_and_what_was_only_checked_goes_after_a_day(hana: Client) -> None:
    checked = hana.post(PAGE, sent(good()))
    hana.post(f"{PAGE}now/", {"upload": typed(checked, "upload")})
    hana.post(PAGE, sent(good("R-8")))
    with connection.cursor() as cursor:
        cursor.execute("UPDATE ledger_feedbody SET kept_at = kept_at - interval '25 hours'")

    assert (FeedBody.objects.count(), bodies_clear()) == (2, 1)

    [came] = AuditEvent.objects.filter(verb="invoice.import")
    assert body_of(came.details["sha256"]).decode() == good()
    with pytest.raises(DatabaseError, match="something refers to them"), transaction.atomic():
        FeedBody.objects.all().delete()


def test_every_problem_is_shown_and_nothing_is_kept(hana: Client) -> None:
    answer = hana.post(PAGE, sent(f"{good()}sandbox,R-8,2026-03,2026-04-02,x,USD,,\n"))
    assert answer.status_code == 422
    assert_readable(answer)
    words = "“x” is not a number: write it like 1234.5, with a point and nothing between thousands"
    assert rows(answer, "Problems, table") == [["3", "amount", words]]
    assert page_of(answer).one("pre", id="faults-text").text == f"Line 3 amount {words}"
    assert [row[1] for row in rows(answer, "Rows, table")] == ["sandbox R-7"]
    assert (ProviderInvoice.objects.count(), FeedBody.objects.count()) == (0, 0)
    assert error_beside(hana.post(PAGE), "file") == "Choose a file."
    assert error_beside(hana.post(PAGE, sent("x" * (MOST_BYTES + 1))), "file") == "A file has at most 1 MB."


def test_what_was_not_checked_by_the_same_person_is_not_entered(budget: Budget, hana: Client) -> None:
    token = typed(hana.post(PAGE, sent(good())), "upload")
    lou = budget.company.client(budget.company.lou)
    for client, said in ((lou, token), (hana, token[:-1]), (hana, "")):
        assert "choose it again" in page_of(client.post(f"{PAGE}now/", {"upload": said}, follow=True)).text
    assert ProviderInvoice.objects.count() == 0
