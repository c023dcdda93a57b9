"""Providers' invoices: entered by one person, matched to their month, decided by another, and never twice."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import DatabaseError, connection, transaction
from django.test import Client

from ledger.closing import checklist
from ledger.models import Account, EntryKind, InvoiceState, Period, PeriodState, Provider, ProviderInvoice
from ledger.money import usd
from ledger.reports.base import Choice, Tie, report_of
from ledger.selectors import balance, today
from ledger.selectors.invoices import Match, match_of, matches
from ledger.services import (
    Leg,
    entry_post,
    invoice_agree,
    invoice_enter,
    invoice_refuse,
    invoice_withdraw,
    period_accrue,
    period_close,
    period_close_begin,
    reversal_propose,
)
from ledger.services.corrections import correction_approve
from teams.errors import NotAllowed, Refused, WrongState
from tests.budget import Budget
from tests.cast import PEOPLE, Company
from tests.ledger.test_year import Year
from tests.pages import page_of


class Bills:
    """The first month of a year that is over, in which 100 dollars were metered at one provider."""

    def __init__(self, company: Company) -> None:
        self.year = Year(company)
        self.hana, self.lou = company.hana, company.lou
        self.provider = Provider.objects.get(name="acme")
        self.month = self.year.over.starts_on
        self.year.give("1000")
        self.year.use("100", self.month + timedelta(days=4), "calls")

    def enter(self, amount: str, number: str = "A-1", issued_on: date | None = None) -> ProviderInvoice:
        return invoice_enter(
            actor=self.hana,
            provider=self.provider,
            number=number,
            month=self.month + timedelta(days=20),
            issued_on=issued_on or self.month + timedelta(days=33),
            amount=usd(amount),
            tax=Decimal("19"),
        )

    def agreed(self, amount: str, number: str = "A-1", issued_on: date | None = None) -> ProviderInvoice:
        return invoice_agree(actor=self.lou, invoice=self.enter(amount, number, issued_on))

    def match(self) -> Match:
        return matches(self.month, self.month)[0]

    def left(self) -> list[Decimal]:
        """Return what is billed and what is still in the clearing account."""
        return [balance(Account.objects.get(code=f"{name}:acme")).amount for name in ("billed", "metered")]

    def close(self) -> Period:
        period = self.year.period(0)
        period_close_begin(actor=self.hana, period=period)
        period_accrue(actor=self.hana, period=period)
        return period_close(actor=self.hana, period=period)


@pytest.fixture
def bills(company: Company) -> Bills:
    return Bills(company)


def test_an_invoice_posts_nothing_until_a_second_person_agrees(bills: Bills) -> None:
    invoice = bills.enter("98")
    assert [invoice.month, bills.left(), bills.match().verdict] == [bills.month, [0, 100], "Waits for a second person"]
    with pytest.raises(NotAllowed, match="decided by another person"):
        invoice_agree(actor=bills.hana, invoice=invoice)

    agreed = invoice_agree(actor=bills.lou, invoice=invoice)

    assert bills.left() == [98, 2]
    assert agreed.entry is not None
    assert (agreed.entry.kind, agreed.entry.actor, agreed.entry.approved_by) == ("billed", bills.hana, bills.lou)
    # Its month is still open, so the month takes it, whenever it was sent.
    assert agreed.entry.effective_on == bills.year.period(0).ends_on
    found = bills.match()
    assert [found.invoiced, found.billed, found.to_bill, found.unexplained] == [98, 98, 0, 2]
    assert found.verdict == "Metered differs"
    with pytest.raises(WrongState, match="A-1 is agreed"):
        invoice_agree(actor=bills.lou, invoice=invoice)


def test_only_what_is_not_billed_yet_is_posted(bills: Bills) -> None:
    accounts = [Account.objects.get(code=f"{name}:acme") for name in ("billed", "metered")]
    legs = [Leg(account, amount) for account, amount in zip(accounts, (Decimal(60), Decimal(-60)), strict=True)]
    day = bills.month + timedelta(days=5)
    entry_post(actor=bills.hana, kind=EntryKind.BILLED, source="feed", key="1", legs=legs, effective_on=day)

    assert bills.agreed("100").entry is not None
    assert bills.left() == [100, 0]
    nothing_more = bills.agreed("0.25", "A-2")
    assert (nothing_more.entry is not None, bills.left()) == (True, [Decimal("100.25"), Decimal("-0.25")])
    credit = bills.agreed("-0.25", "C-1")
    assert [credit.money, bills.left(), bills.match().verdict] == [usd("-0.25"), [100, 0], "Matched"]


def test_an_invoice_that_says_what_is_billed_already_posts_nothing(bills: Bills) -> None:
    accounts = [Account.objects.get(code=f"{name}:acme") for name in ("billed", "metered")]
    legs = [Leg(account, amount) for account, amount in zip(accounts, (Decimal(100), Decimal(-100)), strict=True)]
    entry_post(actor=bills.hana, kind=EntryKind.BILLED, source="feed", key="1", legs=legs, effective_on=bills.month)

    agreed = bills.agreed("100")

    assert [agreed.state, agreed.entry, bills.left()] == [InvoiceState.AGREED, None, [100, 0]]
    assert bills.match().verdict == "Matched"


def test_an_invoice_after_the_close_meets_the_accrual_where_it_turned_round(bills: Bills) -> None:
    bills.close()
    following = bills.year.period(1)

    agreed = bills.agreed("100", issued_on=bills.month + timedelta(days=25))

    assert agreed.entry is not None
    assert (agreed.entry.period, agreed.entry.effective_on) == (following, following.starts_on)
    assert bills.left() == [100, 0]
    # Posted in the following month, it is billed to the month that it is for.
    assert [[m.month, m.billed, m.verdict] for m in matches(bills.month, following.ends_on)] == [
        [bills.month, 100, "Matched"]
    ]


def test_an_invoice_that_comes_while_the_month_is_accrued_waits_for_the_accrual_to_end(bills: Bills) -> None:
    period = bills.year.period(0)
    period_close_begin(actor=bills.hana, period=period)
    period_accrue(actor=bills.hana, period=period)

    agreed = bills.agreed("100")
    period_close(actor=bills.hana, period=period)

    assert agreed.entry is not None
    assert agreed.entry.period == bills.year.period(1)
    assert bills.left() == [100, 0]


def test_a_reversed_entry_leaves_the_month_unbilled_and_the_report_says_so(bills: Bills) -> None:
    agreed = bills.agreed("100")
    assert agreed.entry is not None

    correction_approve(
        actor=bills.lou,
        correction=reversal_propose(actor=bills.hana, entry=agreed.entry, reason="It was another company's"),
    )

    found = match_of(agreed)
    assert [found.agreed, found.billed, found.to_bill, found.verdict] == [100, 0, 100, "Billed differs"]
    assert bills.left() == [0, 100]


def test_refused_and_withdrawn_invoices_count_nowhere_and_their_number_is_free_again(bills: Bills) -> None:
    with pytest.raises(Refused, match="reason"):
        invoice_refuse(actor=bills.lou, invoice=bills.enter("98"), reason=" ")
    waiting = ProviderInvoice.objects.get()
    with pytest.raises(Refused, match="acme's invoice A-1 is entered already"):
        bills.enter("98")
    with pytest.raises(NotAllowed):
        invoice_withdraw(actor=bills.lou, invoice=waiting)

    invoice_withdraw(actor=bills.hana, invoice=waiting)
    invoice_refuse(actor=bills.lou, invoice=bills.enter("97"), reason="Not ours")

    assert [bills.match().verdict, bills.left()] == ["No invoice", [0, 100]]
    assert bills.agreed("100").state == InvoiceState.AGREED


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"amount": usd(0)}, "amount_zero"),
        ({"issued_on": date(2199, 1, 1)}, "future_date"),
        ({"issued_on": date(2001, 1, 1)}, "issued_too_early"),
    ],
)
def test_what_cannot_be_an_invoice_is_refused(bills: Bills, given: dict[str, object], code: str) -> None:
    facts: dict[str, object] = {"number": "A-1", "month": bills.month, "issued_on": today(), "amount": usd(10)}
    with pytest.raises(Refused) as refused:
        invoice_enter(actor=bills.hana, provider=bills.provider, **(facts | given))  # type: ignore[arg-type]
    assert refused.value.code == code


def test_the_database_keeps_an_invoice_as_it_was_entered_and_decided(bills: Bills) -> None:
    entered, agreed = bills.enter("98"), bills.agreed("2", "A-2")
    changes = [
        ("amount = 1", entered.pk),
        ("number = 'B'", entered.pk),
        ("state = 'agreed', decided_by_id = entered_by_id", entered.pk),
        ("state = 'agreed', decided_by_id = NULL", entered.pk),
        ("state = 'entered'", agreed.pk),
        ("entry_id = NULL", agreed.pk),
    ]
    for change, pk in changes:
        with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"UPDATE ledger_providerinvoice SET {change} WHERE id = %s", [pk])  # noqa: S608 - the table above
    with pytest.raises(DatabaseError), transaction.atomic():
        ProviderInvoice.objects.filter(pk=agreed.pk).delete()
    with pytest.raises(DatabaseError), transaction.atomic():
        ProviderInvoice.objects.create(
            provider=bills.provider, number="A-3", month=bills.month + timedelta(days=1), issued_on=today(),
            amount=Decimal(1), entered_by=bills.hana,
        )  # fmt: skip


def test_a_month_is_not_closed_over_an_undecided_invoice_unseen(bills: Bills) -> None:
    bills.enter("98")
    period = bills.year.period(0)

    item = next(one for one in checklist(period) if one.item.name == "invoices_decided")

    assert (item.is_settled, item.finding.words) == (False, "Invoices that wait for a decision: 1.")
    assert period.state == PeriodState.OPEN


# --- The report ---------------------------------------------------------------------------------


def shown(bills: Bills, choice: Choice) -> tuple[list[tuple[object, ...]], Tie]:
    report = report_of("invoice-match")
    assert report is not None
    (tie,) = report.ties(choice)
    return [tuple(row.cells) for row in report.rows(choice, bills.hana)], tie


def test_the_report_puts_invoices_beside_billed_and_metered_and_ties_to_the_ledger(bills: Bills) -> None:
    bills.close()
    bills.agreed("60")
    bills.enter("30", "A-2")
    month = f"{bills.month:%Y-%m}"
    choice = Choice(starts_on=bills.month, ends_on=bills.month, as_of=datetime.now(UTC))

    rows, tie = shown(bills, choice)

    assert rows == [(month, "acme", "A-1, A-2", 90, 60, 60, 30, 100, 10, "Waits for a second person")]
    # The entry is dated in the following month, since this one was closed.
    assert [tie.reported, tie.in_ledger, tie.difference] == [60, 0, 60]
    assert tie.explained == "posted on later days for these months $60.00, on these days for other months $0.00"
    rows, tie = shown(bills, replace(choice, ends_on=bills.year.over.ends_on))
    assert [len(rows), tie.reported, tie.in_ledger, tie.explained] == [1, 60, 60, ""]
    rows, tie = shown(bills, replace(choice, as_of=datetime.now(UTC) - timedelta(days=1)))
    assert [rows, tie.reported, tie.in_ledger] == [[], 0, 0]


# --- Pages --------------------------------------------------------------------------------------


@pytest.fixture
def hana(budget: Budget) -> Client:
    return budget.company.client(budget.company.hana)


FORM = {"provider": "", "what": "invoice", "number": "R-7", "amount": "1,250.5", "tax": "", "note": ""}


def form_of_today() -> dict[str, str]:
    provider = str(Provider.objects.get(name="sandbox").pk)
    return FORM | {"provider": provider, "month": f"{today():%Y-%m}", "issued_on": today().isoformat()}


def test_the_pages_are_there_for_finance_and_auditors_and_for_nobody_else(budget: Budget) -> None:
    clients = {name: budget.company.client(budget.company.person(name)) for name in PEOPLE}
    clients["hana"].post("/ledger/invoices/new/", form_of_today())
    pk = ProviderInvoice.objects.get().pk
    pages = {
        "/ledger/invoices/": {"hana", "jo"},
        f"/ledger/invoices/{pk}/": {"hana", "jo"},
        "/ledger/invoices/new/": {"hana"},
        f"/ledger/invoices/{pk}/withdraw/": {"hana"},
        f"/ledger/invoices/{pk}/agree/": set(),
    }
    for url, who in pages.items():
        assert {name for name, client in clients.items() if client.get(url).status_code == 200} == who, url


def test_one_enters_another_agrees_and_the_list_shows_it(budget: Budget, hana: Client) -> None:
    assert "No invoice was entered yet" in page_of(hana.get("/ledger/invoices/")).text

    entered = hana.post("/ledger/invoices/new/", form_of_today(), follow=True)
    assert "sandbox R-7 waits for a second person" in page_of(entered).text
    pk = ProviderInvoice.objects.get().pk
    assert hana.post(f"/ledger/invoices/{pk}/agree/").status_code == 404
    lou = budget.company.client(budget.company.lou)
    agreed = page_of(lou.post(f"/ledger/invoices/{pk}/agree/", follow=True)).text

    assert "sandbox R-7: agreed" in agreed
    assert balance(Account.objects.get(code="billed:sandbox")) == usd("1250.5")
    assert "$1,250.50" in page_of(hana.get("/ledger/invoices/")).text


def test_what_was_typed_stays_when_it_is_refused(budget: Budget, hana: Client) -> None:
    hana.post("/ledger/invoices/new/", form_of_today())

    again = hana.post("/ledger/invoices/new/", form_of_today() | {"month": "2026-13"})
    assert again.status_code == 422
    page = page_of(again)
    assert "Write the month like 2026-03." in page.text
    assert page.one("input", name="amount").attrs["value"] == "1,250.5"

    twice = hana.post("/ledger/invoices/new/", form_of_today() | {"what": "credit_note"})
    assert (twice.status_code, "sandbox's invoice R-7 is entered already" in page_of(twice).text) == (422, True)
    note = hana.post("/ledger/invoices/new/", form_of_today() | {"what": "credit_note", "number": "C-1"}, follow=True)
    assert "−$1,250.50" in page_of(note).text  # noqa: RUF001 - the minus sign that people read
